;; .map m array key=4 value=12 entries=8
;; *(u32 *)(r10 - 4) = 3
;; r2 = r10
;; r2 += -4
;; r1 = m ll
;; call bpf_map_lookup_elem
;; if r0 == 0 goto out
;; r0 = *(u32 *)(r0 + 8)
;; out: exit
(func entry
  local.get frame
  i64.extend_i32_u
  i64.const 512
  i64.add
  local.set r10
  block
    local.get frame
    i64.const 3
    i64.store32 offset=508
    local.get r10
    local.set r2
    local.get r2
    i64.const -4
    i64.add
    local.set r2
    i64.const 1
    local.set r1
    i64.const 0
    local.set r0
    local.get r2
    i32.wrap_i64
    i32.load
    local.tee word
    i32.const 8
    i32.lt_u
    if
      local.get word
      i32.const 16
      i32.mul
      i32.const 70656
      i32.add
      i64.extend_i32_u
      local.set r0
    end
    local.get r0
    i64.eqz
    if
      local.get count
      i32.const -1
      i32.add
      local.set count
      br 1
    end
    local.get r0
    i32.wrap_i64
    i64.load32_u offset=8
    local.set r0
    br 0
  end
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
