/**
 * Helpers that Linux 6.18 offers a socket filter whose loader has neither CAP_BPF nor CAP_PERFMON. To such a loader the
 * others do not exist: the message is that of a helper the program's type has not.
 * test/bpf/verifier/unprivileged.test.ts asks the running kernel for each.
 */
const NAMES = `
  map_lookup_elem map_update_elem map_delete_elem map_push_elem map_pop_elem map_peek_elem map_lookup_percpu_elem
  ktime_get_ns ktime_get_boot_ns ktime_get_coarse_ns ktime_get_tai_ns get_prandom_u32 get_smp_processor_id get_numa_node_id
  tail_call get_current_pid_tgid get_ns_current_pid_tgid get_current_uid_gid perf_event_output
  skb_load_bytes skb_load_bytes_relative get_socket_cookie get_socket_uid get_netns_cookie strtol strtoul strncmp
  ringbuf_output ringbuf_reserve ringbuf_submit ringbuf_discard ringbuf_query`;

export const UNPRIVILEGED_HELPERS: ReadonlySet<string> = new Set(NAMES.trim().split(/\s+/));
