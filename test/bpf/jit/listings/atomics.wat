;; r1 = r10
;; r1 += -8
;; lock *(u64 *)(r1 + 0) += r2
;; r2 = atomic64_fetch_add((u64 *)(r1 + 0), r2)
;; w3 = xchg32_32(r1 + 4, w3)
;; r0 = cmpxchg_64(r1 + 0, r0, r2)
;; exit
(func entry
  local.get frame
  i64.extend_i32_u
  i64.const 512
  i64.add
  local.set r10
  local.get r10
  local.set r1
  local.get r1
  i64.const -8
  i64.add
  local.set r1
  local.get r1
  i32.wrap_i64
  local.tee address
  i64.load
  local.set wide
  local.get address
  local.get wide
  local.get r2
  i64.add
  i64.store
  local.get r1
  i32.wrap_i64
  local.tee address
  i64.load
  local.set wide
  local.get address
  local.get wide
  local.get r2
  i64.add
  i64.store
  local.get wide
  local.set r2
  local.get r1
  i32.wrap_i64
  local.tee address
  i64.load32_u offset=4
  local.set wide
  local.get address
  local.get r3
  i64.store32 offset=4
  local.get wide
  local.set r3
  local.get r1
  i32.wrap_i64
  local.tee address
  i64.load
  local.set wide
  local.get wide
  local.get r0
  i64.eq
  if
    local.get address
    local.get r2
    i64.store
  end
  local.get wide
  local.set r0
  i32.const 0
  i32.const 0
  i32.load offset=$instructions
  local.get count
  i32.add
  i32.const 7
  i32.add
  i32.store offset=$instructions
  local.get r0
  return
  unreachable
)
