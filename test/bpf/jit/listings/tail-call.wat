;; .map next prog_array key=4 value=4 entries=4
;; r2 = next ll
;; r3 = 1
;; call bpf_tail_call
;; r0 = 2
;; exit
(func entry
  local.get frame
  i64.extend_i32_u
  i64.const 512
  i64.add
  local.set r10
  i64.const 1
  local.set r2
  i64.const 1
  local.set r3
  block
    local.get r3
    i32.wrap_i64
    i32.const 4
    i32.ge_u
    br_if 0
    i32.const 0
    i32.load offset=$tailCalls
    i32.const 33
    i32.ge_u
    br_if 0
    local.get r3
    i32.wrap_i64
    i32.const 0
    i32.add
    local.tee address
    table.get 0
    ref.is_null
    br_if 0
    i32.const 0
    i32.const 0
    i32.load offset=$tailCalls
    i32.const 1
    i32.add
    i32.store offset=$tailCalls
    i32.const 0
    i32.const 0
    i32.load offset=$instructions
    local.get count
    i32.add
    i32.const 3
    i32.add
    i32.store offset=$instructions
    local.get r1
    local.get r2
    local.get r3
    local.get r4
    local.get r5
    local.get frame
    local.get address
    return_call_indirect type=0 table=0
  end
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
  unreachable
)
