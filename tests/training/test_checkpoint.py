"""The tables of a run's progress, whatever a kill leaves of them, and what is not a checkpoint."""

from __future__ import annotations

import pytest
import torch
from training_helpers import rows

pytest.importorskip("accelerate")

from aecodec.training import checkpoint


def test_the_table_of_a_run_survives_a_kill_while_it_is_begun(tmp_path):
    """A file that was made but not written yet is given its header."""
    path = tmp_path / "run.csv"
    path.touch()
    checkpoint.forget_rows(path, 0)
    checkpoint.append_row(path, {"step": 50, "loss": 1.0})
    checkpoint.append_row(path, {"step": 100, "loss": 0.5})
    assert rows(tmp_path) == [{"step": 50, "loss": 1.0}, {"step": 100, "loss": 0.5}]



def test_rows_that_will_be_written_again_are_forgotten(tmp_path):
    path = tmp_path / "run.csv"
    for step in (50, 100, 150):
        checkpoint.append_row(path, {"step": step, "loss": step / 100})
    checkpoint.forget_rows(path, 100)
    assert [row["step"] for row in rows(tmp_path)] == [50, 100]
    checkpoint.forget_rows(tmp_path / "none.csv", 3)


def test_a_run_with_other_terms_gets_more_columns(tmp_path):
    """What a run logged before it was resumed with another objective stays in its columns."""
    path = tmp_path / "run.csv"
    checkpoint.append_row(path, {"step": 50, "loss": 1.0})
    checkpoint.append_row(path, {"step": 100, "visual": 3.0, "loss": 0.5})
    checkpoint.append_row(path, {"step": 150, "loss": 0.25})
    assert path.read_text().splitlines() == ["step,loss,visual", "50,1.0,", "100,0.5,3.0", "150,0.25,"]


def test_what_is_not_a_checkpoint_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        checkpoint.read(tmp_path / "none.pt")
    (tmp_path / "text.pt").write_text("no checkpoint")
    torch.save({"weights": torch.zeros(3)}, tmp_path / "other.pt")
    for name in ("text.pt", "other.pt"):
        with pytest.raises(ValueError, match="not a checkpoint"):
            checkpoint.read(tmp_path / name)


def test_a_write_that_fails_leaves_the_old_checkpoint(tmp_path):
    path = tmp_path / checkpoint.CHECKPOINT
    checkpoint.write(path, {"step": 1})
    with pytest.raises(AttributeError):
        checkpoint.write(path, {"step": lambda: 2})
    assert torch.load(path, weights_only=True) == {"step": 1}
    assert list(tmp_path.iterdir()) == [path]
