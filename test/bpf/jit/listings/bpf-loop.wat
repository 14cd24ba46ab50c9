;; r1 = 10
;; r2 = body ll
;; r3 = 0
;; r4 = 0
;; call bpf_loop
;; exit
;; body: r0 = 0
;; exit
(import fault)
(func entry
  local.get frame
  i64.extend_i32_u
  i64.const 512
  i64.add
  local.set r10
  i64.const 10
  local.set r1
  i64.const 7
  local.set r2
  i64.const 0
  local.set r3
  i64.const 0
  local.set r4
  block
    i64.const -22
    local.set r0
    local.get r4
    i64.const 0
    i64.ne
    br_if 0
    i64.const -7
    local.set r0
    local.get r1
    i32.wrap_i64
    i32.const 8388608
    i32.gt_u
    br_if 0
    local.get frame
    i32.const 66560
    i32.lt_u
    if
      i32.const 1
      i32.const 5
      call fault
      unreachable
    end
    local.get r1
    i32.wrap_i64
    i64.extend_i32_u
    local.set r1
    loop
      local.get r4
      local.set r0
      local.get r4
      local.get r1
      i64.ge_u
      br_if 1
      local.get r4
      local.get r3
      i64.const 0
      i64.const 0
      i64.const 0
      local.get frame
      i32.const 512
      i32.sub
      call f2
      local.set r0
      local.get r4
      i64.const 1
      i64.add
      local.set r4
      local.get r0
      i64.eqz
      br_if 0
      local.get r4
      local.set r0
    end
  end
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
(func f2
  local.get frame
  i64.extend_i32_u
  i64.const 512
  i64.add
  local.set r10
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
  unreachable
)
