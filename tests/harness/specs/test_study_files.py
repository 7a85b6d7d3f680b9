"""Study files that cannot be read, or ask for what no study can be: file, line, what to do, in no time."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nas_stability.benchmarks import files
from nas_stability.benchmarks.errors import BadInput, CorruptFile
from nas_stability.benchmarks.names import check_name
from nas_stability.harness.records import claiming, study_record
from nas_stability.harness.records.sealed import sealed
from nas_stability.harness.specs import study_file
from tests.commands import refused

BASE = '[base]\nspace = "nasbench201"\nmethod = "darts"\ndata = "digits"\n'

CLAIM = """\
[over]
method = ["sdarts-rs", "darts"]
[[claim]]
template = "ends-better"
method = "sdarts-rs"
base = "darts"
"""

FILES = {
    "D8: an integer of 5,000 digits": (BASE + f"epochs = {'9' * 5000}\n", "a number in it cannot be read"),
    "D8: an integer of 4,000 digits": (BASE + f"epochs = {'9' * 4000}\n", ":5: the field 'epochs' must lie in"),
    "D8: deep lists": (BASE + f"epochs = {'[' * 5000}{']' * 5000}\n", "nested too deeply"),
    "D8: deep tables": (BASE + f"epochs = {'{a=' * 3000}1{'}' * 3000}\n", "nested too deeply"),
    "D8: the range 0-9999999999": (
        BASE + '[over]\nseed = "0-9999999999"\n',
        ":6: 'seed' in [over] is a range of 10,000,",
    ),
    "D8: a range of 30 digits": (BASE + f'[over]\nseed = "0-{"9" * 30}"\n', "a study has at most 10,000 runs"),
    "D8: a range of 5,000 digits": (BASE + f'[over]\nseed = "0-{"9" * 5000}"\n', "takes a list, or a range such as"),
    "D8: a range of floats": (
        BASE + '[over]\nlr = "0-9"\n',
        ":6: 'lr' in [over] takes a list; ranges are for fields of int",
    ),
    "D8: a range of texts": (
        BASE + '[over]\nmethod = "0-9"\n',
        "takes a list; ranges are for fields of integers, not '0-9'",
    ),
    "D8: a range of floats in also": (BASE + '[[also]]\nlr = "0-9"\n', ":6: the field 'lr' takes float, not '0-9'"),
    "D8: a range in base": (
        BASE + 'seed = "0-9"\n',
        ":5: 'seed' in [base] takes one value, not '0-9'; vary it in [over]",
    ),
    "a list in base": (BASE + "seed = [0, 1]\n", ":5: 'seed' in [base] takes one value, not [0, 1]; vary it in [over]"),
    "F: a range in Arabic digits": (BASE + '[over]\nseed = "\u0660-\u0669"\n', "takes a list, or a range such as"),
    "E: the range 9-0": (
        BASE + '[over]\nseed = "9-0"\n',
        "takes a range that goes up, not '9-0'; did you mean \"0-9\"?",
    ),
    "an empty list": (BASE + "[over]\nseed = []\n", ":6: 'seed' in [over] is empty: the study would have no run"),
    "a seed twice": (BASE + "[over]\nseed = [0, 1, 0]\n", ":6: 'seed' in [over] has 0 twice"),
    "a method twice, spelled otherwise": (BASE + '[over]\nmethod = ["darts", "DARTS"]\n', "has 'darts' twice"),
    "a rate twice, as integer": (BASE + "[over]\nlr = [1, 1.0]\n", "has 1.0 twice"),
    "F: 10^6 runs": (
        BASE + '[over]\nseed = "0-999"\ndepth = "1-100"\nwidth = "1-10"\n',
        "asks for 1,000,000 runs; a study has",
    ),
    "F: 10^6 runs in also": (
        BASE + '[[also]]\nseed = "0-999"\ndepth = "1-100"\nwidth = "1-10"\n',
        "asks for 1,000,000 runs",
    ),
    "F: too many in sum": (BASE + '[[also]]\nseed = "0-6000"\n[[also]]\nseed = "1-6000"\n', "asks for 12,001 runs"),
    "a key twice": (BASE + "epochs = 1\nepochs = 2\n", "(at line 6"),
    "a key twice, with a dash": (
        BASE + "batch_size = 3\nbatch-size = 4\n",
        ":5: 'batch_size' is given twice, with dashes",
    ),
    "a section as a value": ("base = 3\n", ":1: a section is written [base], [over] or [[also]]"),
    "also as values": (BASE + "[over]\nalso = 3\n", ":6: unknown field 'also'"),
    "a claim of no template": (
        BASE + CLAIM.replace("ends-better", "ends-beter"),
        ":8: unknown template of claims 'ends-beter'; did you mean 'ends-better'",
    ),
    "a claim about a method that is not searched": (
        BASE + CLAIM.replace("sdarts-rs", "darts-2nd", 2).replace('["darts-2nd"', '["sdarts-rs"'),
        ":9: unknown method of the study 'darts-2nd'",
    ),
    "a claim about a number": (
        BASE + CLAIM.replace('base = "darts"', "base = 3"),
        ":10: unknown method of the study '3'",
    ),
    "a claim that compares a method with itself": (
        BASE + CLAIM.replace('base = "darts"', 'base = "sdarts-rs"'),
        ":10: the claim compares 'sdarts-rs' with itself",
    ),
    "a claim without a base": (
        BASE + CLAIM.replace('base = "darts"', "") + CLAIM[CLAIM.index("[[") :],
        ":7: the claim lacks 'base': it takes template, method, base",
    ),
    "a claim with another key": (BASE + CLAIM + "than = 3\n", ":11: unknown key 'than'"),
    "an evaluation that is no list": (BASE + '[evaluate]\nat = "best"\n', ":5: 'evaluate' is written [[evaluate]]"),
    "an evaluation with an unknown key": (BASE + "[[evaluate]]\nepoch = 3\n", ":6: unknown key 'epoch'; did you mean"),
    "an evaluation of an unknown protocol": (BASE + '[[evaluate]]\nprotocol = "papers"\n', ":6: unknown protocol"),
    "an evaluation at no epoch": (BASE + '[[evaluate]]\nat = "last"\n', ":6: 'at' takes final, best, stop or an epoch"),
    "an evaluation of no network": (BASE + "[[evaluate]]\nseeds = 0\n", ":6: 'seeds' takes a number from 1"),
    "an evaluation with a text for a number": (BASE + '[[evaluate]]\nwidth = "8"\n', ":6: the field 'width' takes int"),
    "an evaluation out of range": (BASE + "[[evaluate]]\ndrop_path = 1.0\n", ":6: the field 'drop_path' must lie in"),
    "a claim that is no table": (BASE + '[claim]\ntemplate = "flatter"\n', ":5: 'claim' is written [[claim]]"),
    "nan": (BASE + "lr = nan\n", ":5: the field 'lr' must lie in [0, 1e+06], not nan"),
    "a date": (BASE + "epochs = 2020-01-01\n", ":5: the field 'epochs' takes int, not datetime.date"),
    "an empty text": (BASE + 'table = ""\n', ":5: the field 'table' is empty"),
    "an unknown field with a dash": (
        BASE + "batch-sizes = 3\n",
        ":5: unknown field 'batch-sizes'; did you mean 'batch_size'",
    ),
    "the line of its own section": (
        BASE + "epochs = 2\n[over]\nepochs = [2.5]\n",
        ":7: the field 'epochs' takes int, not 2.5",
    ),
    "the line of its own also": (
        BASE + "[[also]]\nseed = 1\n[[also]]\nseed = 2.5\n",
        ":8: the field 'seed' takes int, not 2.5",
    ),
    "a line feed of another kind": (BASE + "# \u2028\nepochs = 2.5\n", ":6: the field 'epochs' takes int"),
    "E: no TOML": ("[base\n", "(at line 1, column 6)"),
    "nothing": ("", "the field 'space' is missing"),
    "a file of a megabyte": ("# " + "x" * (1 << 20), "has more than 1,048,576 bytes"),
}


@pytest.mark.parametrize(("text", "message"), FILES.values(), ids=FILES)
def test_a_study_file_that_cannot_be(
    text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").write_text(text, encoding="utf-8", newline="")
    began = time.process_time()
    said = refused(["study", "mine.toml", "--dry-run"], capsys, tmp_path)
    assert time.process_time() - began < 2, "whatever is asked for is counted before it is made"
    assert message in said
    assert "mine.toml" in said


BYTES = {
    "E: UTF-16": (BASE.encode("utf-16"), "mine.toml is UTF-16; save it as UTF-8"),
    "E: UTF-16 the other way": ("\ufeff".encode("utf-16-be") + BASE.encode("utf-16-be"), "is UTF-16; save it as UTF-8"),
    "Latin-1": (BASE.encode() + b"# caf\xe9\n", "mine.toml:5: byte 67 is not UTF-8; save the file as UTF-8"),
    "NUL": (BASE.encode() + b"\0\n", "(at line 5, column 1)"),
}


@pytest.mark.parametrize(("content", "message"), BYTES.values(), ids=BYTES)
def test_a_study_file_in_another_encoding(
    content: bytes, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").write_bytes(content)
    assert message in refused(["study", "mine.toml"], capsys, tmp_path)


def test_e_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "with.toml").write_text(BASE, encoding="utf-8-sig")
    (tmp_path / "without.toml").write_text(BASE, encoding="utf-8")
    assert study_file.read(tmp_path / "with.toml").runs == study_file.read(tmp_path / "without.toml").runs


def test_f_a_study_has_the_same_runs_in_every_locale(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(BASE + 'table = "näs"\n', encoding="utf-8")
    code = (
        "import pathlib\nfrom nas_stability.harness.specs.study_file import read\n"
        "print(read(pathlib.Path('mine.toml')).runs[0].run_id)"
    )
    said = {
        subprocess.run(
            [sys.executable, "-X", "utf8=0", "-c", code],
            cwd=tmp_path,
            env={"LC_ALL": locale, "PYTHONPATH": str(Path(__file__).parents[3]), "PYTHONCOERCECLOCALE": "0"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for locale in ("C", "C.UTF-8", "en_US.ISO-8859-1")
    }
    assert said == {study_file.read(tmp_path / "mine.toml").runs[0].run_id + "\n"}


NAMES = {
    "C5: ...toml": ("...toml", "'..' cannot be the name of a study: names are letters, digits, '.', '_' and '-'"),
    "C5: ..toml": ("..toml", "'.' cannot be the name of a study"),
    "C5: .toml": (".toml", "'.toml' cannot be the name of a study"),
    "C5: a dot in front": (".mine.toml", "'.mine' cannot be the name of a study"),
    "C5: a dot at the end": ("mine..toml", "'mine.' cannot be the name of a study"),
    "C5: a blank": ("my study.toml", "'my study' cannot be the name of a study"),
    "C5: markup": ("<b>|$x$.toml", "cannot be the name of a study"),
    "C5: a line feed": ("a\nb.toml", "cannot be the name of a study"),
    "C5: too long": ("x" * 101 + ".toml", "at most 100"),
    "C5: a shipped study's": ("quick.toml", "a study 'quick' is shipped; give the file another name"),
    "C5: published": ("published.toml", "results/published is not a study's folder; give the file another name"),
    "C5: tables": ("tables.toml", "results/tables is not a study's folder"),
}


@pytest.mark.parametrize(("file", "message"), NAMES.values(), ids=NAMES)
def test_a_study_file_whose_name_cannot_be_a_folder(
    file: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / file).write_text(BASE)
    assert message in refused(["study", file], capsys, tmp_path)


@pytest.mark.parametrize("name", ["quick", "a.b_c-d", "0", "x" * 100])
def test_a_name_is_returned(name: str) -> None:
    assert check_name("study", name) == name


@pytest.mark.parametrize("name", ["", ".", "a.", "_a", "a/b", "a b", "a\n", "é", "\u0663", "x" * 101], ids=repr)
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(BadInput, match="cannot be the name of a table: names are letters, digits"):
        check_name("table", name)


def test_a_copy_of_a_shipped_study_keeps_its_name(tmp_path: Path) -> None:
    (tmp_path / "quick.toml").write_bytes(study_file.find("quick").read_bytes())
    assert study_file.read(tmp_path / "quick.toml") == study_file.read(study_file.find("quick"))


PLACES = {
    "E: a folder": ("folder", "'folder' is a folder; a study is a TOML file, or the name of a shipped one"),
    "E: a folder that ends in .toml": ("folder.toml", "'folder.toml' is a folder"),
    "a file that is not there": ("absent.toml", "the study file absent.toml does not exist"),
    "a shipped one as a file": ("quick.toml", "did you mean the shipped study 'quick'?"),
    "a shipped one nearly": ("quik", "unknown study 'quik'; did you mean 'quick'?\n"),
    "like none": ("zzz", "unknown study 'zzz' (known: ablation-attack, ablation-radius"),
    "nothing": ("", "unknown study ''"),
    "a device": ("/dev/zero", "'/dev/zero' is no ordinary file"),
    "a name too long": ("x" * 300 + ".toml", "cannot be read"),
    "no such home": ("~nobody-of-this-name/x.toml", "cannot be read"),
}


@pytest.mark.parametrize(("name", "message"), PLACES.values(), ids=PLACES)
def test_a_study_that_is_not_there(
    name: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder.toml").mkdir()
    assert message in refused(["study", name], capsys, tmp_path)


def test_g_keys_with_dashes(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(BASE + "batch-size = 3\n[over]\nattack-steps = [1, 2]\n[[also]]\nlr-min = 0.0\n")
    found = study_file.read(path).runs
    assert [(spec.batch_size, spec.attack_steps, spec.lr_min) for spec in found] == [
        (3, 1, 0.001),
        (3, 2, 0.001),
        (3, 7, 0.0),
    ]


def test_a_run_of_also_that_is_there_already_is_merged(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(BASE + '[over]\nseed = "0-2"\n[[also]]\nseed = 1\n[[also]]\nseed = 3\n')
    assert [spec.seed for spec in study_file.read(path).runs] == [0, 1, 2, 3]


@pytest.mark.slow
def test_as_many_runs_as_a_study_may_have_are_read_in_seconds(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(BASE + '[over]\nseed = "0-9999"\n')
    began = time.process_time()
    found = study_file.read(path).runs
    assert len(found) == study_file.MOST_RUNS
    assert time.process_time() - began < 10
    assert re.search(r"-s9999-[0-9a-f]{8}$", found[-1].run_id)


def test_a_studys_own_claims_are_kept_in_its_folder_and_follow_its_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(BASE + CLAIM.replace('"sdarts-rs"\nbase', '"SDARTS_RS"\nbase'))
    found = study_file.read(file)
    assert found.claims == (("ends-better", "sdarts-rs", "darts"),)
    claiming.claim_study(found, tmp_path / "mine")
    assert study_record.read_claims(tmp_path / "mine") == found.claims
    runs = study_record.read_study(tmp_path / "mine")
    before = (tmp_path / "mine" / "study.json").read_bytes()
    claiming.claim_study(found, tmp_path / "mine")
    assert (tmp_path / "mine" / "study.json").read_bytes() == before
    claiming.claim_study(dataclasses.replace(found, claims=()), tmp_path / "mine")
    assert study_record.read_claims(tmp_path / "mine") == ()
    assert study_record.read_study(tmp_path / "mine") == runs
    assert "claims" not in dataclasses.replace(found, claims=()).json()
    files.write(tmp_path / "mine" / "study.json", sealed({"name": "mine", "runs": runs, "claims": [{"method": 1}]}))
    with pytest.raises(CorruptFile, match="its claims are none"):
        study_record.read_claims(tmp_path / "mine")
