;; r2 = *(u32 *)(r1 + 4)
;; *(u64 *)(r10 - 8) = r2
;; r0 = 0
;; exit
(import fault)
(import guard.read)
(import guard.write)
(func entry
  local.get frame
  i64.extend_i32_u
  i64.const 512
  i64.add
  local.set r10
  i32.const 0
  i32.const 0
  i32.load offset=$instructions
  i32.const 4
  i32.add
  local.tee word
  i32.store offset=$instructions
  local.get word
  i32.const 100000000
  i32.gt_u
  if
    i32.const 0
    i32.const 0
    call fault
    unreachable
  end
  local.get r1
  i64.const 4
  i64.add
  local.tee wide
  local.get frame
  i64.extend_i32_u
  i64.sub
  i64.const 70140
  local.get frame
  i64.extend_i32_u
  i64.sub
  i64.gt_u
  if
    local.get wide
    i32.wrap_i64
    local.get wide
    i64.const 32
    i64.shr_u
    i32.wrap_i64
    i32.const 4
    i32.const 0
    local.get frame
    call guard.read
  end
  local.get wide
  i32.wrap_i64
  i64.load32_u
  local.set r2
  local.get r10
  i64.const -8
  i64.add
  local.tee wide
  local.get frame
  i64.extend_i32_u
  i64.sub
  i64.const 70136
  local.get frame
  i64.extend_i32_u
  i64.sub
  i64.gt_u
  if
    local.get wide
    i32.wrap_i64
    local.get wide
    i64.const 32
    i64.shr_u
    i32.wrap_i64
    i32.const 8
    i32.const 1
    local.get frame
    call guard.write
  end
  local.get wide
  i32.wrap_i64
  local.get r2
  i64.store
  i64.const 0
  local.set r0
  local.get r0
  return
  unreachable
)
