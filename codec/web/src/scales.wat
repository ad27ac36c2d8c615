;; The layers of the scale decoder (FORMAT.md, section 7), in integers and with SIMD: eight products an instruction.
;;
;; Activations and weights are 16-bit here, channels last, and what holds the channels of a position is a multiple of 16
;; bytes long. Positions are computed four at a time: behind each array there is room for those beyond its end. Biases
;; are 32-bit and hold what rounds, `2^k >> 1`; shifts are 32-bit.
(module
  (memory (export "memory") 1)

  ;; The four sums of weight times activation of an output at four positions, which are `row` bytes long.
  (func $products (param $weight i32) (param $at i32) (param $row i32) (result v128)
    (local $at1 i32) (local $at2 i32) (local $at3 i32) (local $end i32)
    (local $w v128) (local $s0 v128) (local $s1 v128) (local $s2 v128) (local $s3 v128)
    (local.set $at1 (i32.add (local.get $at) (local.get $row)))
    (local.set $at2 (i32.add (local.get $at1) (local.get $row)))
    (local.set $at3 (i32.add (local.get $at2) (local.get $row)))
    (local.set $end (local.get $at1))
    (loop $channels
      (local.set $w (v128.load (local.get $weight)))
      (local.set $s0 (i32x4.add (local.get $s0) (i32x4.dot_i16x8_s (local.get $w) (v128.load (local.get $at)))))
      (local.set $s1 (i32x4.add (local.get $s1) (i32x4.dot_i16x8_s (local.get $w) (v128.load (local.get $at1)))))
      (local.set $s2 (i32x4.add (local.get $s2) (i32x4.dot_i16x8_s (local.get $w) (v128.load (local.get $at2)))))
      (local.set $s3 (i32x4.add (local.get $s3) (i32x4.dot_i16x8_s (local.get $w) (v128.load (local.get $at3)))))
      (local.set $weight (i32.add (local.get $weight) (i32.const 16)))
      (local.set $at1 (i32.add (local.get $at1) (i32.const 16)))
      (local.set $at2 (i32.add (local.get $at2) (i32.const 16)))
      (local.set $at3 (i32.add (local.get $at3) (i32.const 16)))
      (br_if $channels (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 16))) (local.get $end))))
    ;; Each of s0 to s3 holds four parts of one sum: first two of each, then one.
    (local.set $s0 (i32x4.add
      (i8x16.shuffle 0 1 2 3 16 17 18 19 4 5 6 7 20 21 22 23 (local.get $s0) (local.get $s1))
      (i8x16.shuffle 8 9 10 11 24 25 26 27 12 13 14 15 28 29 30 31 (local.get $s0) (local.get $s1))))
    (local.set $s2 (i32x4.add
      (i8x16.shuffle 0 1 2 3 16 17 18 19 4 5 6 7 20 21 22 23 (local.get $s2) (local.get $s3))
      (i8x16.shuffle 8 9 10 11 24 25 26 27 12 13 14 15 28 29 30 31 (local.get $s2) (local.get $s3))))
    (i32x4.add
      (i8x16.shuffle 0 1 2 3 4 5 6 7 16 17 18 19 20 21 22 23 (local.get $s0) (local.get $s2))
      (i8x16.shuffle 8 9 10 11 12 13 14 15 24 25 26 27 28 29 30 31 (local.get $s0) (local.get $s2))))

  ;; A 1x1 layer: `[positions, outputs]`, clamped to 0..255, of positions that are `row` bytes long.
  (func (export "pointwise") (param $in i32) (param $positions i32) (param $row i32) (param $weight i32) (param $bias i32)
    (param $shift i32) (param $outputs i32) (param $out i32)
    (local $p i32) (local $o i32) (local $width i32) (local $to i32) (local $values v128)
    (local.set $width (i32.shl (local.get $outputs) (i32.const 1)))
    (loop $fours
      (local.set $o (i32.const 0))
      (loop $each
        (local.set $values (i32x4.min_s (i32x4.splat (i32.const 255)) (i32x4.max_s (v128.const i32x4 0 0 0 0)
          (i32x4.shr_s
            (i32x4.add
              (call $products
                (i32.add (local.get $weight) (i32.mul (local.get $o) (local.get $row)))
                (i32.add (local.get $in) (i32.mul (local.get $p) (local.get $row)))
                (local.get $row))
              (v128.load32_splat (i32.add (local.get $bias) (i32.shl (local.get $o) (i32.const 2)))))
            (i32.load (i32.add (local.get $shift) (i32.shl (local.get $o) (i32.const 2))))))))
        (local.set $to (i32.add (local.get $out)
          (i32.shl (i32.add (i32.mul (local.get $p) (local.get $outputs)) (local.get $o)) (i32.const 1))))
        (i32.store16 (local.get $to) (i32x4.extract_lane 0 (local.get $values)))
        (local.set $to (i32.add (local.get $to) (local.get $width)))
        (i32.store16 (local.get $to) (i32x4.extract_lane 1 (local.get $values)))
        (local.set $to (i32.add (local.get $to) (local.get $width)))
        (i32.store16 (local.get $to) (i32x4.extract_lane 2 (local.get $values)))
        (i32.store16 (i32.add (local.get $to) (local.get $width)) (i32x4.extract_lane 3 (local.get $values)))
        (br_if $each (i32.lt_u (local.tee $o (i32.add (local.get $o) (i32.const 1))) (local.get $outputs))))
      (br_if $fours (i32.lt_u (local.tee $p (i32.add (local.get $p) (i32.const 4))) (local.get $positions)))))

  ;; The last layer, as table numbers 0..63: bytes `[outputs, positions]`, each output `stride` bytes behind the one before.
  ;; Offsets are 32-bit, hold what rounds as well, and are shifted by two.
  (func (export "tables") (param $in i32) (param $positions i32) (param $row i32) (param $weight i32) (param $bias i32)
    (param $shift i32) (param $offset i32) (param $outputs i32) (param $out i32) (param $stride i32)
    (local $p i32) (local $o i32) (local $four i32) (local $values v128)
    (loop $fours
      (local.set $o (i32.const 0))
      (loop $each
        (local.set $four (i32.shl (local.get $o) (i32.const 2)))
        (local.set $values (i32x4.min_s (i32x4.splat (i32.const 63)) (i32x4.max_s (v128.const i32x4 0 0 0 0)
          (i32x4.shr_s
            (i32x4.add
              (i32x4.shr_s
                (i32x4.add
                  (call $products
                    (i32.add (local.get $weight) (i32.mul (local.get $o) (local.get $row)))
                    (i32.add (local.get $in) (i32.mul (local.get $p) (local.get $row)))
                    (local.get $row))
                  (v128.load32_splat (i32.add (local.get $bias) (local.get $four))))
                (i32.load (i32.add (local.get $shift) (local.get $four))))
              (v128.load32_splat (i32.add (local.get $offset) (local.get $four))))
            (i32.const 2)))))
        (local.set $values (i16x8.narrow_i32x4_u (local.get $values) (local.get $values)))
        (i32.store
          (i32.add (i32.add (local.get $out) (i32.mul (local.get $o) (local.get $stride))) (local.get $p))
          (i32x4.extract_lane 0 (i8x16.narrow_i16x8_u (local.get $values) (local.get $values))))
        (br_if $each (i32.lt_u (local.tee $o (i32.add (local.get $o) (i32.const 1))) (local.get $outputs))))
      (br_if $fours (i32.lt_u (local.tee $p (i32.add (local.get $p) (i32.const 4))) (local.get $positions)))))

  ;; A depthwise 3x3 layer: `[rows, columns, channels]`, clamped to 0..255. Weights are `[9, channels]`; `sums` is room for
  ;; the 32-bit sums of one position, whose channels have a shift each.
  (func (export "depthwise") (param $in i32) (param $rows i32) (param $columns i32) (param $channels i32)
    (param $weight i32) (param $bias i32) (param $shift i32) (param $sums i32) (param $out i32)
    (local $y i32) (local $x i32) (local $c i32) (local $i i32) (local $j i32) (local $row i32) (local $at i32)
    (local $w v128) (local $a v128) (local $low v128) (local $high v128) (local $s i32)
    (local.set $row (i32.shl (local.get $channels) (i32.const 1)))
    (loop $down
      (local.set $x (i32.const 0))
      (loop $across
        (local.set $c (i32.const 0))
        (loop $eights
          (local.set $at (i32.add (local.get $bias) (i32.shl (local.get $c) (i32.const 2))))
          (local.set $low (v128.load (local.get $at)))
          (local.set $high (v128.load offset=16 (local.get $at)))
          (local.set $i (i32.const 0))
          (loop $taps_down
            (local.set $j (i32.const 0))
            (loop $taps_across
              (if (i32.and ;; unsigned, -1 is large
                  (i32.lt_u (i32.sub (i32.add (local.get $y) (local.get $i)) (i32.const 1)) (local.get $rows))
                  (i32.lt_u (i32.sub (i32.add (local.get $x) (local.get $j)) (i32.const 1)) (local.get $columns)))
                (then
                  (local.set $w (v128.load (i32.add (local.get $weight) (i32.shl (i32.add (local.get $c)
                    (i32.mul (i32.add (i32.mul (local.get $i) (i32.const 3)) (local.get $j)) (local.get $channels)))
                    (i32.const 1)))))
                  (local.set $a (v128.load (i32.add (i32.add (local.get $in) (i32.shl (local.get $c) (i32.const 1)))
                    (i32.mul (local.get $row) (i32.add
                      (i32.mul (i32.sub (i32.add (local.get $y) (local.get $i)) (i32.const 1)) (local.get $columns))
                      (i32.sub (i32.add (local.get $x) (local.get $j)) (i32.const 1)))))))
                  (local.set $low (i32x4.add (local.get $low)
                    (i32x4.extmul_low_i16x8_s (local.get $w) (local.get $a))))
                  (local.set $high (i32x4.add (local.get $high)
                    (i32x4.extmul_high_i16x8_s (local.get $w) (local.get $a))))))
              (br_if $taps_across (i32.lt_u (local.tee $j (i32.add (local.get $j) (i32.const 1))) (i32.const 3))))
            (br_if $taps_down (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 3))))
          (local.set $at (i32.add (local.get $sums) (i32.shl (local.get $c) (i32.const 2))))
          (v128.store (local.get $at) (local.get $low))
          (v128.store offset=16 (local.get $at) (local.get $high))
          (br_if $eights (i32.lt_u (local.tee $c (i32.add (local.get $c) (i32.const 8))) (local.get $channels))))
        (local.set $c (i32.const 0))
        (loop $each
          (local.set $at (i32.shl (local.get $c) (i32.const 2)))
          (local.set $s (i32.shr_s (i32.load (i32.add (local.get $sums) (local.get $at)))
            (i32.load (i32.add (local.get $shift) (local.get $at)))))
          (local.set $s (select (i32.const 0) (local.get $s) (i32.lt_s (local.get $s) (i32.const 0))))
          (i32.store16 (local.get $out) (select (i32.const 255) (local.get $s) (i32.gt_s (local.get $s) (i32.const 255))))
          (local.set $out (i32.add (local.get $out) (i32.const 2)))
          (br_if $each (i32.lt_u (local.tee $c (i32.add (local.get $c) (i32.const 1))) (local.get $channels))))
        (br_if $across (i32.lt_u (local.tee $x (i32.add (local.get $x) (i32.const 1))) (local.get $columns))))
      (br_if $down (i32.lt_u (local.tee $y (i32.add (local.get $y) (i32.const 1))) (local.get $rows))))))
