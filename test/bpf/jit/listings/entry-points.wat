(func entry
  local.get frame
  i64.extend_i32_u
  i64.const 512
  i64.add
  local.set r10
  i32.const 0
  i32.const 0
  i32.load offset=$instructions
  local.get count
  i32.add
  i32.const 1
  i32.add
  i32.store offset=$instructions
  local.get r0
  return
  unreachable
)
(func run
  local.get 0
  i64.extend_i32_u
  i64.const 0
  i64.const 0
  i64.const 0
  i64.const 0
  i32.const top_frame
  call entry
  i32.wrap_i64
)
(func run64
  local.get 0
  local.get 1
  i64.const 0
  i64.const 0
  i64.const 0
  i32.const top_frame
  call entry
)
