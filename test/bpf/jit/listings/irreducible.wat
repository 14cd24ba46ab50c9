;; r0 = 0
;; if r1 == 0 goto b
;; a: r0 += 1
;; b: r0 += 2
;; r1 -= 1
;; if r1 != 0 goto a
;; exit
(func entry
  local.get frame
  i64.extend_i32_u
  i64.const 512
  i64.add
  local.set r10
  loop
    block
      block
        block
          block
            local.get next
            br_table 0 1 2 3
          end
          local.get count
          i32.const 2
          i32.add
          local.set count
          i64.const 0
          local.set r0
          i32.const 3
          local.set next
          local.get r1
          i64.eqz
          if
            i32.const 1
            local.set next
          end
          br 3
        end
        local.get count
        i32.const 3
        i32.add
        local.set count
        local.get r0
        i64.const 2
        i64.add
        local.set r0
        local.get r1
        i64.const 1
        i64.sub
        local.set r1
        i32.const 2
        local.set next
        local.get r1
        i64.const 0
        i64.ne
        if
          i32.const 3
          local.set next
        end
        br 2
      end
      local.get count
      i32.const 1
      i32.add
      local.set count
      i32.const 0
      i32.const 0
      i32.load offset=$instructions
      local.get count
      i32.add
      i32.const 0
      i32.add
      i32.store offset=$instructions
      local.get r0
      return
    end
    local.get count
    i32.const 1
    i32.add
    local.set count
    local.get r0
    i64.const 1
    i64.add
    local.set r0
    i32.const 1
    local.set next
    br 0
  end
  unreachable
)
