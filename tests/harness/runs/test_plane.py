"""The plane around a finished run: its points, its directions, and stopping between them."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy
import pytest
import torch

from nas_stability.benchmarks import files
from nas_stability.benchmarks.catalog import SPACES
from nas_stability.benchmarks.errors import BadInput
from nas_stability.harness.records.record import CHECKPOINT, EPOCHS, LANDSCAPE, PLANE
from nas_stability.harness.rng import stream
from nas_stability.harness.runs import checkpoint, landscape
from nas_stability.harness.runs.check import check_study
from nas_stability.harness.runs.landscape import directions, measure_landscape
from nas_stability.harness.runs.plane import UNFINISHED, Grid, read_plane, write_plane
from nas_stability.harness.runs.run import Interrupted, Place, Watch, run
from nas_stability.harness.specs.recorded import recorded_spec
from tests import oracles_measure
from tests.harness.runs.landscapes import CASES, contents, copied, rows, spec_of
from tests.harness.runs.test_run import Killed
from tests.slow import slow_but
from tests.small import PLACE, digits, small_spec


def final_state(folder: Path) -> tuple[dict[str, torch.Tensor], list[torch.Tensor]]:
    """Weights under the published names, and logits, in float64."""
    state = checkpoint.load(folder / CHECKPOINT)
    spec = recorded_spec(json.loads((folder / "spec.json").read_text()))
    data = digits(spec)
    search = landscape.restored(spec, folder, data, torch.device("cpu"))
    for name, value in search.net.state_dict().items():
        assert torch.equal(value, state["net"][name])
    return search.space.published(search.net), list(state["alpha"])


@pytest.mark.parametrize("space", slow_but(CASES, "nasbench1shot1-s1"))
class TestPlane:
    def test_the_middle_is_the_recorded_last_epoch_bit_for_bit(self, space: str, landscapes: dict[str, Path]) -> None:
        points, last = rows(landscapes[space] / LANDSCAPE), rows(landscapes[space] / EPOCHS)[-1]
        assert (points[12]["x"], points[12]["y"]) == ("0.0", "0.0")
        for name in ("valid_loss", "valid_accuracy", "arch"):
            assert points[12][name] == last[name]
        assert {name: points[12][name] for name in last if name.startswith("accuracy_")} == {
            name: cell for name, cell in last.items() if name.startswith("accuracy_")
        }

    def test_points_equal_a_literal_loop(self, space: str, landscapes: dict[str, Path]) -> None:
        folder = landscapes[space]
        spec, plane = spec_of(space), read_plane(folder)
        tensors, alpha = final_state(folder)
        data = digits(spec)
        images = (data.valid.images.double() - data.valid.mean) / data.valid.deviation
        losses = set()
        for index in (0, 3, 12, 17, 24):
            row = rows(folder / LANDSCAPE)[index]
            x, y = 1.5 * (index % 5 - 2) / 2, 1.5 * (index // 5 - 2) / 2
            assert (float(row["x"]), float(row["y"])) == (x, y)
            step = iter([x * first + y * second for first, second in zip(plane.gradient, plane.random, strict=True)])
            logits = [
                torch.tensor([[value + next(step) for value in line] for line in group.tolist()], dtype=torch.float64)
                for group in alpha
            ]
            loss, accuracy = oracles_measure.loss_and_accuracy(
                space, tensors, images, data.valid.labels, logits, spec.depth
            )
            assert float(row["valid_loss"]) == pytest.approx(float(loss), rel=1e-12)
            assert float(row["valid_accuracy"]) == accuracy
            losses.add(float(loss))
        assert len(losses) == 5

    def test_the_directions_are_orthonormal_and_the_first_is_the_gradient(
        self, space: str, landscapes: dict[str, Path]
    ) -> None:
        folder = landscapes[space]
        spec, plane = spec_of(space), read_plane(folder)
        assert math.hypot(*plane.gradient) == pytest.approx(1, abs=1e-15)
        assert math.hypot(*plane.random) == pytest.approx(1, abs=1e-15)
        inner = math.fsum(left * right for left, right in zip(plane.gradient, plane.random, strict=True))
        assert abs(inner) < 1e-15
        tensors, alpha = final_state(folder)
        data = digits(spec)
        images = (data.valid.images.double() - data.valid.mean) / data.valid.deviation
        leaves = [group.clone().requires_grad_() for group in alpha]
        loss, _ = oracles_measure.loss_and_accuracy(space, tensors, images, data.valid.labels, leaves, spec.depth)
        slope = torch.cat([part.flatten() for part in torch.autograd.grad(loss, leaves)])
        assert plane.gradient_norm == pytest.approx(float(slope.norm()), rel=1e-9)
        torch.testing.assert_close(
            torch.tensor(plane.gradient, dtype=torch.float64), slope / slope.norm(), rtol=0, atol=1e-9
        )
        drawn = torch.randn(len(slope), generator=stream(spec.seed, "landscape"), dtype=torch.float64)
        span = torch.tensor([plane.gradient, plane.random], dtype=torch.float64)
        torch.testing.assert_close(span.T @ (span @ drawn), drawn, rtol=0, atol=1e-9)

    def test_check_finds_nothing_wrong(self, space: str, landscapes: dict[str, Path]) -> None:
        assert check_study(landscapes[space]).problems == []

    def test_the_loss_rises_along_the_gradient(self, space: str, landscapes: dict[str, Path], tmp_path: Path) -> None:
        folder = copied(landscapes[space], tmp_path, LANDSCAPE, PLANE)
        measure_landscape(folder, Grid(3, 1e-6), PLACE, Watch())
        below, middle, above = (float(row["valid_loss"]) for row in rows(folder / LANDSCAPE)[3:6])
        norm = read_plane(folder).gradient_norm
        assert (above - below) / 2e-6 == pytest.approx(norm, rel=1e-5)
        assert below < middle < above

    def test_a_landscape_stopped_and_killed_equals_an_undisturbed_one(
        self, space: str, landscapes: dict[str, Path], tmp_path: Path
    ) -> None:
        folder = copied(landscapes[space], tmp_path, LANDSCAPE, PLANE)
        with pytest.raises(Interrupted, match="stopped after point 1 of 25"):
            measure_landscape(folder, Grid(5, 1.5), PLACE, Watch(interrupted=lambda: True))

        def kill_at(point: int) -> Watch:
            def progress(done: int, total: int) -> None:
                if done == point:
                    raise Killed

            return Watch(progress)

        for point in (7, 8, 25):
            with pytest.raises(Killed):
                measure_landscape(folder, Grid(5, 1.5), PLACE, kill_at(point))
            assert not (folder / LANDSCAPE).exists()
            if point == 7:
                files.append(folder / UNFINISHED, "0.75,-1.5,torn")
            if point == 8:  # torn within the first write, which holds the header and a row
                text = (folder / UNFINISHED).read_text()
                (folder / UNFINISHED).write_text(text[: text.index("\n") + 9])
                write_plane(folder, read_plane(folder)._replace(rows=None))
        assert measure_landscape(folder, Grid(5, 1.5), PLACE, Watch())
        assert contents(folder) == contents(landscapes[space])


def test_the_random_direction_is_of_norm_one_and_orthogonal_whatever_the_slope() -> None:
    for index in range(20):
        slope = torch.randn(30, generator=stream(index, "slope"), dtype=torch.float64) * 10.0 ** (index - 10)
        first, second = directions(slope, stream(index, "landscape"))
        assert abs(float(first @ second)) < 1e-15
        assert float(second.norm()) == pytest.approx(1, abs=1e-14)
        torch.testing.assert_close(first * slope.norm(), slope)


def test_coordinates_are_symmetric_and_the_middle_is_zero() -> None:
    assert Grid(5, 1.0).coordinates == (-1.0, -0.5, 0.0, 0.5, 1.0)
    for points in (3, 21, 41):
        found = Grid(points, 1.5).coordinates
        assert found[points // 2] == 0
        assert [-x for x in reversed(found)] == list(found)
    assert list(Grid(3, 1.0).pairs)[:4] == [(-1.0, -1.0), (0.0, -1.0), (1.0, -1.0), (-1.0, 0.0)]


def test_architectures_change_over_the_plane(landscapes: dict[str, Path]) -> None:
    for space, folder in landscapes.items():
        archs = [row["arch"] for row in rows(folder / LANDSCAPE)]
        assert len(set(archs)) > 3
        assert set(archs) <= set(SPACES[space].archs())


@pytest.mark.slow
def test_a_run_without_a_table_and_in_float32(tmp_path: Path) -> None:
    run(small_spec(space="nasbench1shot1-s2", epochs=1, images=40), tmp_path, PLACE, Watch())
    measure_landscape(tmp_path, Grid(3, 1.0), PLACE, Watch())
    points, last = rows(tmp_path / LANDSCAPE), rows(tmp_path / EPOCHS)[-1]
    assert (points[4]["valid_loss"], points[4]["arch"]) == (last["valid_loss"], last["arch"])
    assert {row["accuracy_cifar10_valid"] for row in points} == {""}
    assert check_study(tmp_path).problems == []


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU")
def test_on_a_gpu(tmp_path: Path) -> None:
    place = Place("cuda")
    run(small_spec(epochs=1), tmp_path, place, Watch())
    measure_landscape(tmp_path, Grid(3, 1.0), place, Watch())
    points, last = rows(tmp_path / LANDSCAPE), rows(tmp_path / EPOCHS)[-1]
    assert (points[4]["valid_loss"], points[4]["arch"]) == (last["valid_loss"], last["arch"])
    assert check_study(tmp_path).problems == []


def test_a_gradient_without_a_direction_is_refused(
    landscapes: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copied(landscapes["nasbench201"], tmp_path, LANDSCAPE, PLANE)
    for value in (0.0, numpy.nan):
        slope = torch.full((30,), value, dtype=torch.float64)
        monkeypatch.setattr(landscape, "validation_gradient", lambda search, data, slope=slope: slope)
        with pytest.raises(BadInput, match="no direction"):
            measure_landscape(folder, Grid(3, 1.0), PLACE, Watch())
        assert not (folder / PLANE).exists()
