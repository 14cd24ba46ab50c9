;; r0 = r1
;; r0 += 5
;; w0 *= w2
;; r0 s>>= 3
;; exit
(func entry
  local.get frame
  i64.extend_i32_u
  i64.const 512
  i64.add
  local.set r10
  local.get r1
  local.set r0
  local.get r0
  i64.const 5
  i64.add
  local.set r0
  local.get r0
  i32.wrap_i64
  local.get r2
  i32.wrap_i64
  i32.mul
  i64.extend_i32_u
  local.set r0
  local.get r0
  i64.const 3
  i64.shr_s
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
