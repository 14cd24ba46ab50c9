;; .map h hash key=4 value=8 entries=8
;; r6 = r1
;; *(u32 *)(r10 - 4) = 3
;; r2 = r10
;; r2 += -4
;; r1 = h ll
;; call bpf_map_delete_elem
;; call bpf_ktime_get_ns
;; r1 = r6
;; r2 = -8
;; call bpf_xdp_adjust_tail
;; exit
(import map_delete_elem.h.1)
(import ktime_get_ns)
(import xdp_adjust_tail)
(func entry
  local.get frame
  i64.extend_i32_u
  i64.const 512
  i64.add
  local.set r10
  local.get r1
  local.set r6
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
  local.get r2
  i32.wrap_i64
  call map_delete_elem.h.1
  i64.extend_i32_s
  local.set r0
  call ktime_get_ns
  local.set r0
  local.get r6
  local.set r1
  i64.const -8
  local.set r2
  local.get r1
  i32.wrap_i64
  local.get r2
  call xdp_adjust_tail
  i64.extend_i32_s
  local.set r0
  i32.const 0
  i32.const 0
  i32.load offset=$instructions
  local.get count
  i32.add
  i32.const 11
  i32.add
  i32.store offset=$instructions
  local.get r0
  return
  unreachable
)
