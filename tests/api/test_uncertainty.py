"""`predict(…, uncertainty=True)`: a column beside the predictions, in the target's own unit."""

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from goodfit import api, load
from goodfit.training.uncertainty import uncertainty


@pytest.fixture(scope="module")
def tables():
    random = np.random.default_rng(0)
    x = random.normal(size=(150, 2))
    frame = pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "price": 1000 + 100 * x[:, 0] + 10 * random.normal(size=150)})
    return {"price": frame, "dear": frame.drop(columns="price").assign(dear=np.where(x[:, 0] > 0, "yes", "no"))}


@pytest.mark.parametrize("target", ["price", "dear"])
def test_the_spread_stands_beside_the_prediction(target, tables, tmp_path):
    api.train(tables[target], target, seeds=1, epochs=3, out=tmp_path, name="run")
    rows = tables[target].drop(columns=target).head(20)
    plain = api.predict(tmp_path / "run", rows)
    found = api.predict(tmp_path / "run", rows, uncertainty=True)
    pd.testing.assert_frame_equal(found.drop(columns=f"uncertainty {target}"), plain)
    spread = found[f"uncertainty {target}"].to_numpy()
    study = load(tmp_path / "run")
    predictor = study.predictor
    x = predictor.preparation.transform(predictor.preparation.read(rows).frame)
    samples = uncertainty(predictor.model, x)
    if target == "price":
        np.testing.assert_allclose(spread, samples.sd[:, 0] * study.about["target_scale"], rtol=1e-6)
        assert 1 < spread.mean() < 200  # in the unit of the price
    else:
        np.testing.assert_allclose(spread, samples.entropy, rtol=1e-6)
        assert spread.max() <= np.log(2) + 1e-9


def test_the_command_line_writes_it(tables, tmp_path):
    from goodfit.cli.app import app

    api.train(tables["price"], "price", seeds=1, epochs=2, out=tmp_path, name="run")
    tables["price"].head(5).to_csv(tmp_path / "new.csv", index=False)
    done = CliRunner().invoke(app, ["predict", str(tmp_path / "run"), str(tmp_path / "new.csv"), "--uncertainty"])
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[0].endswith(",predicted price,uncertainty price")
