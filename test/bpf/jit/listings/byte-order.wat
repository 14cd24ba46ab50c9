;; r0 = r1
;; r0 = be16 r0
;; r0 = be64 r0
;; r0 = bswap32 r0
;; r0 = le32 r0
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
  i32.wrap_i64
  local.tee word
  i32.const 8
  i32.rotl
  i32.const 16711935
  i32.and
  local.get word
  i32.const 8
  i32.rotr
  i32.const -16711936
  i32.and
  i32.or
  i32.const 16
  i32.shr_u
  i64.extend_i32_u
  local.set r0
  local.get r0
  local.tee wide
  i64.const 71777214294589695
  i64.and
  i64.const 8
  i64.shl
  local.get wide
  i64.const 8
  i64.shr_u
  i64.const 71777214294589695
  i64.and
  i64.or
  local.tee wide
  i64.const 281470681808895
  i64.and
  i64.const 16
  i64.shl
  local.get wide
  i64.const 16
  i64.shr_u
  i64.const 281470681808895
  i64.and
  i64.or
  i64.const 32
  i64.rotl
  local.set r0
  local.get r0
  i32.wrap_i64
  local.tee word
  i32.const 8
  i32.rotl
  i32.const 16711935
  i32.and
  local.get word
  i32.const 8
  i32.rotr
  i32.const -16711936
  i32.and
  i32.or
  i64.extend_i32_u
  local.set r0
  local.get r0
  i32.wrap_i64
  i64.extend_i32_u
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
