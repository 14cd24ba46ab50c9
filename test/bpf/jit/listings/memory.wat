;; r2 = *(u32 *)(r1 + 4)
;; r0 = *(s8 *)(r2 - 3)
;; *(u64 *)(r10 - 8) = r0
;; *(u16 *)(r2 + 2) = 7
;; r3 = r10
;; r3 += -8
;; r0 = *(u64 *)(r3 + 0)
;; exit
(func entry
  local.get frame
  i64.extend_i32_u
  i64.const 512
  i64.add
  local.set r10
  local.get r1
  i32.wrap_i64
  i64.load32_u offset=4
  local.set r2
  local.get r2
  i32.wrap_i64
  i32.const -3
  i32.add
  i64.load8_s
  local.set r0
  local.get frame
  local.get r0
  i64.store offset=504
  local.get r2
  i32.wrap_i64
  i64.const 7
  i64.store16 offset=2
  local.get r10
  local.set r3
  local.get r3
  i64.const -8
  i64.add
  local.set r3
  local.get r3
  i32.wrap_i64
  i64.load
  local.set r0
  i32.const 0
  i32.const 0
  i32.load offset=$instructions
  local.get count
  i32.add
  i32.const 8
  i32.add
  i32.store offset=$instructions
  local.get r0
  return
  unreachable
)
