import os
import stat

import pytest

from obs_core.files import make_private_folder

pytestmark = pytest.mark.integration


def test_all_that_is_missing_is_made_ours_alone_under_any_umask(tmp_path):
    tmp_path.chmod(0o755)
    before = os.umask(0)
    try:
        make_private_folder(tmp_path / "a" / "b" / "c")
    finally:
        os.umask(before)
    made = [tmp_path / "a", tmp_path / "a" / "b", tmp_path / "a" / "b" / "c"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in made} == {0o700}
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_what_is_there_is_left_and_what_is_in_the_way_is_an_error(tmp_path):
    make_private_folder(tmp_path)
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(OSError, match=r"exists|ot a directory"):
            make_private_folder(path)
