;; r1 = 2
;; call f
;; exit
;; f: r0 = r1
;; r0 += r1
;; exit
(import fault)
(func entry
  local.get frame
  i64.extend_i32_u
  i64.const 512
  i64.add
  local.set r10
  i64.const 2
  local.set r1
  local.get frame
  i32.const 66560
  i32.lt_u
  if
    i32.const 1
    i32.const 1
    call fault
    unreachable
  end
  local.get r1
  local.get r2
  local.get r3
  local.get r4
  local.get r5
  local.get frame
  i32.const 512
  i32.sub
  call f2
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
(func f2
  local.get frame
  i64.extend_i32_u
  i64.const 512
  i64.add
  local.set r10
  local.get r1
  local.set r0
  local.get r0
  local.get r1
  i64.add
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
