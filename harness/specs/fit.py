"""Whether a spec fits its images: every field that depends on the data, before anything is written; no pass is made."""

from __future__ import annotations

from collections.abc import Iterator

from nas_stability.benchmarks.errors import BadInput
from nas_stability.benchmarks.images.dataset import Raw, batch_sizes, half_sizes, steps_per_epoch
from nas_stability.benchmarks.spaces.space import Space
from nas_stability.harness.specs.spec import FIELDS, RunSpec


def refuse_unfit(spec: RunSpec, raw: Raw, space: Space) -> None:
    """Passes a spec that can be carried out on the images, and of which no field means another number than it says.

    Args:
        spec: of the run.
        raw: its images, as loaded.
        space: its space.

    Raises:
        BadInput: one line with every field that does not fit, its range, and what the data has.
    """
    first, second = half_sizes(raw, spec.images)
    found = [
        *size_faults(spec.crop_padding, spec.cutout, raw),
        *batch_faults(spec, first, second),
        *class_faults(raw, first),
    ]
    if not found:
        found = list(statistics_faults(spec, raw, space, first, second))
    if found:
        raise BadInput("; ".join(found))


def size_faults(crop_padding: int, cutout: int, raw: Raw) -> Iterator[str]:
    """Crop and cutout against the image's smaller side.

    A crop must hold part of the image, wherever it is drawn; a cutout may be as large as the image, since it is cut at
    the border nearly always, but one pixel would always be gone.
    """
    height, breadth = raw.images.shape[-2:]
    side = min(height, breadth)
    limits = {"crop_padding": (crop_padding, side - 1), "cutout": (cutout, side if side > 1 else 0)}
    for name, (value, limit) in limits.items():
        if value > limit:
            yield f"the field {name!r} must lie in [0, {limit}] for images of {height} x {breadth} pixels, not {value}"


def batch_faults(spec: RunSpec, first: int, second: int) -> Iterator[str]:
    """Batches larger than what they are drawn from: the same computation as smaller ones under another run id.

    The probe batch at its default is that or all that there is, so that small data need not name it.
    """
    smaller = min(first, second)
    if spec.batch_size > smaller:
        yield (
            f"the field 'batch_size' must lie in [2, {smaller}], not {spec.batch_size}: there are {first} images for "
            f"training and {second} for validation"
        )
    if spec.hessian_batch_size > second and spec.hessian_batch_size != FIELDS["hessian_batch_size"].default:
        yield (
            f"the field 'hessian_batch_size' must lie in [1, {second}], not {spec.hessian_batch_size}: there are "
            f"{second} images for validation"
        )


def class_faults(raw: Raw, first: int) -> Iterator[str]:
    """Training images of one class, of which nothing can be learned."""
    labels = raw.labels[:first]
    if int(labels.min()) == int(labels.max()):
        yield f"the {first} images for training are all of the class {int(labels[0])}: there is nothing to tell apart"


def statistics_faults(spec: RunSpec, raw: Raw, space: Space, first: int, second: int) -> Iterator[str]:
    """Batches of one image where a channel of the deepest features is one pixel: BatchNorm has no variance of that."""
    height, breadth = raw.images.shape[-2:]
    if space.deepest_side(height, spec.depth) * space.deepest_side(breadth, spec.depth) > 1:
        return
    where = f"images of {height} x {breadth} pixels are one pixel in the deepest cell, and BatchNorm needs two values"
    steps = steps_per_epoch(first, spec.batch_size, spec.drop_last)
    train = batch_sizes(first, spec.batch_size, False, spec.drop_last, steps)
    valid = batch_sizes(second, spec.batch_size, spec.valid_batches == "fresh", spec.drop_last, steps)
    if 1 in (*train, *valid):
        half, count = ("training", first) if 1 in train else ("validation", second)
        yield (
            f"the last batch of {count} images for {half} by {spec.batch_size} is one image: {where}; "
            "set another 'batch_size', or 'drop_last' true"
        )
    if spec.hessian_batch_size == 1 and spec.hessian_batch_norm == "batch":
        yield f"the field 'hessian_batch_size' must be at least 2: {where}"
