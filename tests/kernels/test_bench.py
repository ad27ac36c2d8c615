"""`aecodec bench kernels`: what can be tested of it without a GPU."""

from __future__ import annotations

import csv

import pytest
import torch

from aecodec.bench import kernels as bench

MACHINE = {"gpu": "none", "torch": "2", "triton": "3", "cuda": "13"}


def test_every_case_gives_what_its_reference_gives(device):
    operations = []
    for case in bench.cases(96, 40, device):
        bench.verify(case)
        operations.append(case.operation)
        outputs = case.run(case.reference)
        assert case.bytes > sum(x.numel() * x.element_size() for x in outputs)
    assert len(operations) == len(set(operations)) == 5


def test_a_wrong_kernel_is_found(device):
    for case in bench.cases(96, 40, device):
        zeros = torch.zeros_like(case.run(case.reference)[0])
        with pytest.raises(RuntimeError, match="differ"):
            bench.verify(case._replace(kernel=lambda *_, zeros=zeros: zeros))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so(tmp_path):
    with pytest.raises(SystemExit, match=r"no CUDA device.*NVIDIA GPU"):
        bench.run(tmp_path / "kernels.csv")
    assert not (tmp_path / "kernels.csv").exists()


@pytest.mark.parametrize("size", ["1920", "axb", "0x5", "1920x1080x3"])
def test_sizes_that_cannot_be_read(size, tmp_path):
    with pytest.raises(SystemExit, match="not WIDTHxHEIGHT"):
        bench.run(tmp_path / "kernels.csv", [size])


def test_codec_is_timed_whole_and_by_stage(monkeypatch):
    class Codec:
        def __init__(self, device: str) -> None:
            assert device == "cuda"

        def encode(self, picture, quality, *, timings=None) -> bytes:
            assert picture.shape == (40, 96, 3)
            if timings is not None:
                timings.update(analysis=0.5, entropy=0.25)
            return b"12345"

        def decode(self, data, *, timings=None) -> None:
            assert data == b"12345"
            if timings is not None:
                timings.update(synthesis=0.125)

    import aecodec

    monkeypatch.setattr(aecodec, "Codec", Codec)
    rows = {(row.operation, row.variant): row for row in bench.codec_rows("96x40", 3, MACHINE)}
    assert set(rows) == {("encode", "total"), ("encode", "analysis"), ("encode", "entropy"), ("decode", "total"),
                         ("decode", "synthesis")}
    assert rows["encode", "entropy"].median_ms == 250.0
    assert rows["decode", "synthesis"].per_second == 8.0
    assert "8.0 a second" in bench.as_line(rows["decode", "synthesis"])


def test_csv_reads_back(tmp_path):
    summary = bench.quantiles([5.0, 1.0, 2.0, 3.0, 4.0, 6.0])
    assert summary == {"median_ms": 3.5, "q20_ms": 2.0, "q80_ms": 5.0}
    row = bench.Row("kernel", "requantise", "triton", "768x512", 1 << 20, **summary, gb_per_s=300.0, of_copy=0.9,
                    per_second=None, **MACHINE)
    bench.write(tmp_path / "new" / "kernels.csv", [row])
    with open(tmp_path / "new" / "kernels.csv", newline="") as file:
        (read,) = csv.DictReader(file)
    assert read["operation"] == "requantise"
    assert float(read["q80_ms"]) == 5.0
    assert read["per_second"] == ""
    assert "90% of a copy" in bench.as_line(row)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_times_kernels_on_a_gpu():
    rows = list(bench.kernel_rows("96x64", 2, MACHINE))
    assert {row.variant for row in rows} == {"copy", "triton", "eager", "compile"}
    assert all(0 < row.q20_ms <= row.median_ms <= row.q80_ms for row in rows)
