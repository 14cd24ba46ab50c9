;; r6 = r1
;; r0 = *(u16 *)skb[12]
;; exit
(import packet_at)
(func entry
  local.get frame
  i64.extend_i32_u
  i64.const 512
  i64.add
  local.set r10
  local.get r1
  local.set r6
  i32.const 12
  i32.const 0
  i32.const 2
  call packet_at
  local.tee address
  i32.eqz
  if
    i64.const 0
    local.set r0
    i32.const 0
    i32.const 0
    i32.load offset=$instructions
    local.get count
    i32.add
    i32.const 2
    i32.add
    i32.store offset=$instructions
    local.get r0
    return
  end
  local.get address
  i64.load16_u
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
  i32.const 0
  i32.const 0
  i32.load offset=$instructions
  local.get count
  i32.add
  i32.const 3
  i32.add
  i32.store offset=$instructions
  local.get r0
  return
  unreachable
)
