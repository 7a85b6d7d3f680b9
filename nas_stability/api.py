"""What scripts and notebooks call: the command line's verbs as functions that return values and raise, never print."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas

from nas_stability.analysis.study import Study
from nas_stability.analysis.study import load as load_study
from nas_stability.benchmarks.errors import choose
from nas_stability.benchmarks.plugins import load as load_plugin
from nas_stability.benchmarks.plugins import names as offered_names
from nas_stability.harness.records.folder import read_record
from nas_stability.harness.records.record import EPOCHS
from nas_stability.harness.records.status import read_rows
from nas_stability.harness.specs.fields import Value
from nas_stability.harness.specs.filled_in import run_spec
from nas_stability.harness.specs.spec import RunSpec
from nas_stability.planned import find_study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from nas_stability.analysis.report import Report
    from nas_stability.benchmarks.tables.table import Table

Row = dict[str, "int | float | str | None"]
"""A row of epochs.csv by column (results/README.md says what each is); None where it is not known."""


class StudyFailed(RuntimeError):
    """Runs of a study failed or were not carried out; what finished is on disk, and the same call goes on from there.

    Attributes:
        reasons: run id -> why.
    """

    def __init__(self, folder: Path, reasons: Mapping[str, str]) -> None:
        self.folder, self.reasons = folder, dict(reasons)
        first, why = next(iter(self.reasons.items()))
        super().__init__(f"{len(self.reasons)} runs of {folder} did not finish; the first: {first}: {why}")


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        spec: what it is.
        folder: of its records.
        epochs: one row per epoch, row 0 untrained.
        spectrum: the Hessian's eigenvalues, one row per epoch and index.
        record: run.json: versions, machine, checksums of data, table and files.
    """

    spec: RunSpec
    folder: Path
    epochs: pandas.DataFrame
    spectrum: pandas.DataFrame
    record: Mapping[str, Any]

    @property
    def arch(self) -> str:
        """The architecture of the last row, as tables know it."""
        return str(self.epochs["arch"].iloc[-1])

    def _repr_html_(self) -> str:
        """The first and the last rows, for a notebook."""
        shown = self.epochs.drop(columns=["run", "space", "method", "data", "seed", "variant"], errors="ignore")
        ends = shown.iloc[[0, -1]].dropna(axis="columns", how="all") if len(shown) else shown
        title = pandas.DataFrame({"run": [self.spec.run_id], "folder": [str(self.folder)]}).to_html(index=False)
        return title + ends.to_html(index=False, float_format="{:.4g}".format)


def run(
    spec: RunSpec | Mapping[str, Value | Sequence[str]],
    folder: str | Path | None = None,
    *,
    on_epoch: Callable[[Row], object] | None = None,
    progress: bool = False,
    device: str = "cpu",
    threads: int = 0,
    data_dir: str | Path = "data",
) -> Run:
    """Carries a search out to its folder, from where it stands; a finished one is read.

    Args:
        spec: of the run, or some of its fields: ``run_spec`` fills in the others.
        folder: of its records; results/RUN_ID by default.
        on_epoch: called with each row of epochs.csv once it is on disk.
        progress: show a bar, in a notebook too.
        device: cpu, cuda or cuda:N.
        threads: of PyTorch on the CPU; 0 leaves them as they are.
        data_dir: of downloaded images.

    Raises:
        BadInput: the spec cannot run, or the folder is another run's; nothing was written.
        FloatingPointError: the loss or the Hessian is not finite; whole rows are kept.
        OSError: a file cannot be written; what was written before is intact.
    """
    from nas_stability.harness.runs import run as runs

    spec = spec if isinstance(spec, RunSpec) else run_spec(spec)
    folder = Path("results") / spec.run_id if folder is None else Path(folder)
    place = runs.Place(device, threads, str(data_dir))
    with shown_bar(spec.last_epoch, spec.run_id, progress) as show:
        runs.run(spec, folder, place, runs.Watch(Teller(folder, on_epoch, show)))
    found = load_study(folder)
    return Run(spec, folder, found.epochs, found.spectrum, read_record(folder))


class Teller:
    """Tells a caller of each row as it comes, and a bar of the epochs done.

    Args:
        folder: of the run.
        on_epoch: called with each row.
        show: called with the epochs done.
    """

    def __init__(self, folder: Path, on_epoch: Callable[[Row], object] | None, show: Callable[[int], None]) -> None:
        self.folder, self.on_epoch, self.show = folder, on_epoch, show
        self.epoch = 0

    def __call__(self, epoch: int, epochs: int) -> None:
        """After the rows of ``epoch`` are on disk, or at the epoch from which a run goes on."""
        self.show(epoch)
        if self.on_epoch is not None and (epoch == 0 or epoch == self.epoch + 1):
            row = read_rows(self.folder / EPOCHS)[-1]
            self.on_epoch({name: value_of(text) for name, text in row.items()})
        self.epoch = epoch


def value_of(text: str) -> int | float | str | None:
    """A cell as a number where it is one; empty is None."""
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    return text or None


def unshown(done: int) -> None:
    """No bar."""


@contextlib.contextmanager
def shown_bar(total: int, label: str, wanted: bool) -> Iterator[Callable[[int], None]]:
    """A bar of epochs, as the notebook or terminal can show it; or nothing."""
    if not wanted:
        yield unshown
        return
    from tqdm.auto import tqdm

    with tqdm(total=total, desc=label, unit="epoch") as bar:

        def show(done: int) -> None:
            bar.update(done - bar.n)

        yield show


def study(
    name: str | Path,
    out: str | Path | None = None,
    *,
    workers: int = 1,
    progress: bool = False,
    device: str = "cpu",
    threads: int = 1,
    data_dir: str | Path = "data",
) -> Study:
    """Carries out every run of a study that is not finished, and reads them.

    Args:
        name: of a shipped study, or a TOML file.
        out: the study's folder; results/NAME by default.
        workers: runs at a time, in processes of their own; 1 runs them here.
        progress: show a bar, in a notebook too.
        device: cpu, cuda or cuda:N.
        threads: of PyTorch per run.
        data_dir: of downloaded images.

    Raises:
        BadInput: no such study, a spec that cannot run, or the folder of another study; nothing was started.
        StudyFailed: runs did not finish.
    """
    from nas_stability.harness.runs import batch
    from nas_stability.harness.runs.machine import Place

    planned = find_study(str(name))
    folder = Path("results") / planned.name if out is None else Path(out)
    engine = batch.Engine(min(workers, len(planned.runs)))
    with shown_bar(sum(spec.last_epoch for spec in planned.runs), planned.name, progress) as show:
        outcomes = batch.run_study(planned, folder, Place(device, threads, str(data_dir)), engine, show)
    reasons = {one.run: one.error or one.state for one in outcomes if one.state not in ("finished", "skipped")}
    if reasons:
        raise StudyFailed(folder, reasons)
    return load_study(folder)


def load(folder: str | Path, *, verify: bool = True) -> Study:
    """The finished runs of a folder: of a study, of runs, or of one run.

    Args:
        folder: to read.
        verify: hold every file to its checksum first.

    Raises:
        BadInput: there is no finished run, or a record is damaged; it is named.
    """
    return load_study(folder, verify)


def read(study: Study | str | Path) -> Study:
    """A study, read where it is a folder."""
    return study if isinstance(study, Study) else load_study(study)


def claims(study: Study | str | Path, *, plugins: Sequence[str | Path] = ()) -> pandas.DataFrame:
    """The verdict on each claim of the paper, in each space and variant and over all spaces.

    The columns are described at ``nas_stability.analysis.claims.judging.judge``.

    Args:
        study: or its folder.
        plugins: files and modules whose claims are judged too; those that are loaded already need not be named.

    Raises:
        BadInput: a plug-in is not there, breaks, or has a claim that cannot be judged.
    """
    from nas_stability.analysis.claims.judging import judge

    load_all(plugins)
    return judge(read(study))


def load_all(addresses: Sequence[str | Path]) -> None:
    """Loads plug-ins, relative files from the working folder.

    Raises:
        BadInput: one is not there, or breaks at import.
    """
    for address in addresses:
        load_plugin(str(address), Path())


def figure(
    study: Study | str | Path, name: str, *, paper: bool = False, plugins: Sequence[str | Path] = ()
) -> Figure | None:
    """One figure of a study as a matplotlib figure, which is not saved; None where the study has no data for it.

    Args:
        study: or its folder.
        name: of the figure, such as ``hessian`` or ``trajectory``.
        paper: one column wide, in a serif.
        plugins: files and modules that may offer the figure; those that are loaded already need not be named.

    Raises:
        BadInput: no such figure; the names are listed. A plug-in is not there or breaks at import.
        Exception: what a figure of a plug-in raises.
    """
    import matplotlib

    from nas_stability.analysis.figures.offered import figures
    from nas_stability.analysis.figures.panels import PAPER, SCREEN, style

    load_all(plugins)
    draw = choose("figure", name, figures())
    # What shows the figure is the caller's: a notebook keeps its backend.
    settings = {name: value for name, value in style(paper).items() if name != "backend"}
    with matplotlib.rc_context(settings):
        drawn = draw(read(study), PAPER if paper else SCREEN)
    return None if drawn is None else drawn.figure


def report(
    study: Study | str | Path,
    out: str | Path | None = None,
    *,
    workers: int = 1,
    plugins: Sequence[str | Path] = (),
) -> Report:
    """Writes every figure and table of a study, and report.html beside them.

    A figure of a plug-in that breaks is in ``failed`` of what is returned, with what it raised, and stops no other one.

    Args:
        study: or its folder.
        out: where to write; STUDY/report by default.
        workers: processes that draw.
        plugins: files and modules whose figures and claims are shown too; those that are loaded already need not be
            named.

    Raises:
        BadInput: ``out`` is a place of records; a plug-in is not there, breaks, or has a claim that cannot be judged.
    """
    from nas_stability.analysis.page.whole_page import write_report_and_page

    load_all(plugins)
    return write_report_and_page(read(study), None if out is None else Path(out), workers=workers, quiet=True)


def table(name: str, tables: str | Path | None = None) -> Table:
    """The table of a name, or of a path.

    Args:
        name: shipped, packed on this machine, or a Parquet file.
        tables: another folder of packed tables than the user's cache.

    Raises:
        BadInput: unknown, absent or unusable.
    """
    from nas_stability.benchmarks.catalog import open_listed

    return open_listed(name, None if tables is None else Path(tables))


def methods() -> tuple[str, ...]:
    """The names that the field ``method`` takes."""
    from nas_stability.harness.methods.compositions import METHODS

    return (*METHODS, *offered_names("methods"))


def spaces() -> tuple[str, ...]:
    """The names that the field ``space`` takes."""
    from nas_stability.benchmarks.catalog import SPACES

    return (*SPACES, *offered_names("spaces"))
