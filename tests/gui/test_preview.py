"""Before anything runs: which file a request means, or why none, and what is nearest."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from cmx_resnet50.catalog.request import Request
from cmx_resnet50.catalog.table import Catalog, RequestError
from cmx_resnet50.delivery.pipeline import Pipeline
from cmx_resnet50.errors import Resnet50Error
from cmx_resnet50.gui import form, preview
from cmx_resnet50.options import Options
from tests.gui import metas


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CM_RESNET50_STORE", str(tmp_path / "store"))
    return tmp_path / "store"


def test_only_our_script_has_a_meaning() -> None:
    assert preview.is_ours(metas.OURS["uid"])
    others = [a.meta for a in metas.upstream() if a.meta["alias"] != metas.OURS["alias"]]
    assert not any(preview.is_ours(meta["uid"]) for meta in others)


def test_every_known_file_is_told_as_the_catalog_has_it() -> None:
    catalog = Catalog.load()
    for request in catalog.requests():
        artifact = catalog.resolve(request).artifact
        found = preview.describe(request.variations.replace("_", "", 1).split(",_"), {})
        facts = dict(found.files[0].facts)
        assert found.files[0].name == artifact.file
        assert facts["Artifact"] == artifact.name
        assert (artifact.md5 or "archive") in facts["Digest"] or artifact.sha256 in facts["Digest"]
        assert facts["Layout"] == (artifact.layout or "unknown")
        assert facts["Precision"] == artifact.precision
        assert facts["In the store"] == "no; a run downloads it"
        assert facts["Licence"] == (artifact.license or "not stated by the publisher")
        assert len(found.files) == 1 + len(artifact.companions)


def test_an_exact_size_is_told_exactly() -> None:
    facts = dict(preview.describe(["pytorch"], {}).files[0].facts)
    assert facts["Bytes"] == "102,502,400"
    assert facts["Digest"].startswith("sha256 19c8e3572231adff")


def test_random_weights_are_told_as_such(store: Path) -> None:
    found = preview.describe(["ncnn", "dummy-weights"], {})
    assert [file.name for file in found.files] == ["resnet50_v1.bin", "resnet50_v1.param"]
    for file in found.files:
        facts = dict(file.facts)
        assert facts["In the store"] == "no; a run generates it"
        assert facts["Licence"].startswith("none")
        assert facts["Digest"].startswith("sha256 ")
    assert "random" in " ".join(found.notices)
    assert not store.exists()


def test_a_made_dummy_is_in_the_store(store: Path) -> None:
    catalog = Catalog.load()
    request = Request("ncnn", weights="dummy")
    Pipeline(catalog, Options.read({})).obtain(catalog.resolve(request))
    for file in preview.describe(["ncnn", "dummy-weights"], {}).files:
        assert dict(file.facts)["In the store"] == "yes"
    plain = preview.describe(["ncnn"], {}).files[0]
    assert dict(plain.facts)["In the store"] == "no; a run downloads it"


def test_a_refusal_names_requests_that_the_form_can_take() -> None:
    with pytest.raises(
        RequestError, match=r"No ResNet-50 file exists for _pytorch,_uint8"
    ) as refused:
        preview.describe(["pytorch", "uint8"], {})
    assert "_pytorch,_int8" in refused.value.nearest
    shape = form.read(metas.OURS)
    for nearest in refused.value.nearest:
        tags = shape.variations(shape.choices(nearest.split(",")))
        assert preview.describe(tags, {}).files


def test_random_weights_that_are_not_made_are_refused() -> None:
    with pytest.raises(RequestError, match="random weights are not available") as refused:
        preview.describe(["pytorch", "int8", "dummy-weights"], {})
    (nearest,) = refused.value.nearest
    assert preview.describe(nearest.replace("_", "", 1).split(",_"), {}).notices


def test_inputs_count() -> None:
    assert "called that" in " ".join(preview.describe(["onnx", "int8"], {}).notices)
    with pytest.raises(RequestError, match="STRICT"):
        preview.describe(["onnx", "int8"], {"strict": "yes"})
    assert "/mnt/x" in " ".join(preview.describe([], {"checkpoint": "/mnt/x"}).notices)
    with pytest.raises(Resnet50Error, match="must be yes or no"):
        preview.describe([], {"strict": "perhaps"})


def test_a_batch_is_checked_and_told() -> None:
    assert "fixed to 8" in " ".join(preview.describe(["batch_size.8"], {}).notices)
    with pytest.raises(Resnet50Error, match="positive integer"):
        preview.describe(["batch_size.zero"], {})


def test_what_a_refusal_offers_is_never_refused() -> None:
    """For every choice of the groups, with random weights and without."""
    names = [[choice.name for choice in group.choices] for group in form.read(metas.OURS).groups]
    offered = set()
    for chosen in product(*([*group, ""] for group in names), ["dummy-weights", ""]):
        try:
            preview.describe(list(filter(None, chosen)), {})
        except RequestError as refusal:
            assert refusal.nearest, chosen
            offered |= {(nearest, chosen[-1]) for nearest in refusal.nearest}
    assert {dummy for _, dummy in offered} == {"dummy-weights", ""}
    for nearest, dummy in offered:
        found = preview.describe(nearest.replace("_", "", 1).split(",_"), {})
        assert bool(dummy) == ("random" in " ".join(found.notices)), nearest


def test_a_container_keeps_a_file_that_has_no_place() -> None:
    assert "stays in the container" in preview.in_container({"outdirname": "x"})
    for key in ("to", "download_path"):
        assert "stays" not in preview.in_container({key: "models"})
