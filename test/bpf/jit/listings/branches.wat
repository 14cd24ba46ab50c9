;; r0 = 1
;; if r1 == 0 goto a
;; if w1 s> 7 goto b
;; r0 = 2
;; exit
;; a: r0 += 3
;; b: r0 += 4
;; exit
(func entry
  local.get frame
  i64.extend_i32_u
  i64.const 512
  i64.add
  local.set r10
  block
    i64.const 1
    local.set r0
    local.get r1
    i64.eqz
    if
      local.get r0
      i64.const 3
      i64.add
      local.set r0
      br 1
    end
    local.get r1
    i32.wrap_i64
    i32.const 7
    i32.gt_s
    br_if 0
    i64.const 2
    local.set r0
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
  local.get r0
  i64.const 4
  i64.add
  local.set r0
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
  unreachable
)
