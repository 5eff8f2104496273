"""What the tests of Kaggle's folders share."""

from pathlib import Path

import pytest

from numina_infer.competitions.known import get_competition
from numina_infer.kaggle.build.build import Built, build
from numina_infer.kaggle.build.push import Push
from numina_infer.kaggle.build.sources import ModelSource


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The folders of a kernel, really built: pip makes our own wheel and fetches seven small ones."""
    push = Push("me", get_competition("aimo-1"), ModelSource.parse("me/my-7b/transformers/default/3"))
    return build(push, tmp_path_factory.mktemp("built") / "out", lambda line: None)


@pytest.fixture(scope="session")
def own_wheel(built: Built) -> Path:
    """The wheel of this package."""
    return next((built.out / "dataset").glob("numina_infer-*.whl"))
