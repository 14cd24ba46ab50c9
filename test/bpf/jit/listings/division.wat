;; r0 /= r1
;; r0 s/= r2
;; w0 %= w3
;; r0 s%= 7
;; r0 /= 0
;; exit
(func entry
  local.get frame
  i64.extend_i32_u
  i64.const 512
  i64.add
  local.set r10
  i64.const 0
  local.set wide
  local.get r1
  i64.const 0
  i64.ne
  if
    local.get r0
    local.get r1
    i64.div_u
    local.set wide
  end
  local.get wide
  local.set r0
  i64.const 0
  local.set wide
  local.get r2
  i64.const 0
  i64.ne
  if
    local.get r2
    i64.const -1
    i64.eq
    if
      i64.const 0
      local.get r0
      i64.sub
      local.set wide
    else
      local.get r0
      local.get r2
      i64.div_s
      local.set wide
    end
  end
  local.get wide
  local.set r0
  local.get r0
  i32.wrap_i64
  local.set word
  local.get r3
  i32.wrap_i64
  i32.const 0
  i32.ne
  if
    local.get r0
    i32.wrap_i64
    local.get r3
    i32.wrap_i64
    i32.rem_u
    local.set word
  end
  local.get word
  i64.extend_i32_u
  local.set r0
  local.get r0
  i64.const 7
  i64.rem_s
  local.set r0
  i64.const 0
  local.set r0
  i32.const 0
  i32.const 0
  i32.load offset=$instructions
  local.get count
  i32.add
  i32.const 6
  i32.add
  i32.store offset=$instructions
  local.get r0
  return
  unreachable
)
