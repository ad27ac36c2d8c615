from __future__ import annotations

from pathlib import Path

import pytest

from aecodec.bench import table

from .conftest import make_row


def test_rows_survive_the_file(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    rows = [make_row(image='a "quoted", name', setting="0.25"),
            make_row("webp-lossless", psnr=float("inf"), ms_ssim=None),
            make_row("avif", ssimulacra2=-71.25, butteraugli=1.125, cvvdp=9.5)]
    table.write(path, rows)
    assert sorted(table.read(path), key=str) == sorted(rows, key=str)


def test_the_columns_are_the_promised_ones(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    table.write(path, [])
    with open(path, newline="") as file:
        assert file.readline().strip() == (
            "dataset,image,width,height,codec,version,setting,bytes,bpp,psnr_rgb,psnr_y,ms_ssim,ssimulacra2,butteraugli,"
            "cvvdp,encode_s,decode_s,device,threads")


def test_a_last_line_that_was_cut_short_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    rows = [make_row(setting=str(n)) for n in (1, 2, 3)]
    table.write(path, rows[:1])
    table.append(path, rows[1:])
    whole = path.read_bytes()
    last = len(whole.splitlines()[-1])
    for cut in (1, last // 2, last):
        path.write_bytes(whole[:-cut])
        assert table.read(path) == rows[:2]


def test_damage_elsewhere_is_named(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    table.write(path, [make_row(setting="1"), make_row(setting="2")])
    path.write_text(path.read_text().replace("768", "many", 1))
    with pytest.raises(ValueError, match=r"results.csv, line 2: .*many"):
        table.read(path)


def test_settings_sort_as_numbers(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    table.write(path, [make_row(setting=text) for text in ("100", "9", "0.5")])
    assert [row.setting for row in table.read(path)] == ["0.5", "9", "100"]


def test_a_table_of_other_metrics_is_read(tmp_path: Path) -> None:
    """As it was written before some metrics were added, others dropped, and when there was one model."""
    path = tmp_path / "results.csv"
    path.write_text("dataset,image,width,height,codec,version,setting,bytes,bpp,psnr_rgb,psnr_y,ms_ssim,lpips,encode_s,"
                    "decode_s,device,threads\n"
                    "kodak,a,768,512,aecodec,v1,6,100,0.002035,30.5000,31.0000,,0.5,0.1000,0.2000,cpu,1\n")
    (row,) = table.read(path)
    assert row.codec == "aecodec-small"
    assert row.metrics == {"psnr_rgb": 30.5, "psnr_y": 31.0}
    table.write(path, [row])
    assert table.read(path) == [row]


def test_the_last_of_two_rows_counts(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    table.write(path, [make_row(psnr=30.0), make_row(image="b")])
    table.append(path, [make_row(psnr=30.0, cvvdp=8.0)])
    assert sorted(table.read(path), key=str) == sorted([make_row(psnr=30.0, cvvdp=8.0), make_row(image="b")], key=str)
