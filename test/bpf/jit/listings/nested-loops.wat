;; r0 = 0
;; outer: r2 = 10
;; inner: r0 += 1
;; if r0 & 64 goto out
;; r2 -= 1
;; if r2 != 0 goto inner
;; r1 -= 1
;; if r1 != 0 goto outer
;; out: exit
(func entry
  local.get frame
  i64.extend_i32_u
  i64.const 512
  i64.add
  local.set r10
  i64.const 0
  local.set r0
  loop
    i64.const 10
    local.set r2
    loop
      block
        local.get r0
        i64.const 1
        i64.add
        local.set r0
        local.get r0
        i64.const 64
        i64.and
        i64.const 0
        i64.ne
        if
          local.get count
          i32.const -4
          i32.add
          local.set count
          br 1
        end
        local.get r2
        i64.const 1
        i64.sub
        local.set r2
        local.get r2
        i64.const 0
        i64.ne
        if
          local.get count
          i32.const 4
          i32.add
          local.set count
          br 2
        end
        local.get r1
        i64.const 1
        i64.sub
        local.set r1
        local.get r1
        i64.const 0
        i64.ne
        if
          local.get count
          i32.const 7
          i32.add
          local.set count
          br 3
        end
        br 0
      end
      i32.const 0
      i32.const 0
      i32.load offset=$instructions
      local.get count
      i32.add
      i32.const 9
      i32.add
      i32.store offset=$instructions
      local.get r0
      return
    end
  end
  unreachable
)
