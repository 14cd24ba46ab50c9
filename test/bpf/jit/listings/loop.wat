;; r0 = 0
;; again: r0 += r1
;; r1 -= 1
;; if r1 != 0 goto again
;; exit
(func entry
  local.get frame
  i64.extend_i32_u
  i64.const 512
  i64.add
  local.set r10
  i64.const 0
  local.set r0
  loop
    local.get r0
    local.get r1
    i64.add
    local.set r0
    local.get r1
    i64.const 1
    i64.sub
    local.set r1
    local.get r1
    i64.const 0
    i64.ne
    if
      local.get count
      i32.const 3
      i32.add
      local.set count
      br 1
    end
    i32.const 0
    i32.const 0
    i32.load offset=$instructions
    local.get count
    i32.add
    i32.const 5
    i32.add
    i32.store offset=$instructions
    local.get r0
    return
  end
  unreachable
)
