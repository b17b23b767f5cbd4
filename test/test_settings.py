"""Settings: declared once, refused when wrong."""

from dataclasses import dataclass, FrozenInstanceError, replace

from instseg_ros.core.settings import setting, Settings, SettingsError
from instseg_ros.reference import STAGES
import pytest


@dataclass(frozen=True)
class Example(Settings):
    """An example of every kind."""

    on: bool = setting(False, 'A switch')
    count: int = setting(3, 'A count', unit='px', low=1, high=9)
    ratio: float = setting(0.5, 'A ratio', low=0, high=1)
    name: str = setting('a', 'A name', choices=('a', 'b'), live=False)
    ids: tuple[int, ...] = setting((), 'Ids', low=0, high=255)

    def check_whole(self):
        if self.on and self.count > 5:
            raise SettingsError('count: expected at most 5 while on, got 6')


@pytest.mark.parametrize(('changes', 'said'), [
    ({'on': 1}, 'on: expected true or false, got 1'),
    ({'count': 0}, r'count: expected an integer in \[1, 9\], got 0'),
    ({'count': 2.0}, r'count: expected an integer in \[1, 9\], got 2.0'),
    ({'count': True}, 'count: expected an integer'),
    ({'ratio': float('nan')}, r'ratio: expected a number in \[0, 1\], got nan'),
    ({'ratio': '1'}, 'ratio: expected a number'),
    ({'name': 'c'}, "name: expected one of 'a', 'b', got 'c'"),
    ({'ids': [300]}, r'ids: expected a list of integers in \[0, 255\]'),
    ({'ids': 3}, 'ids: expected a list of integers'),
    ({'on': True, 'count': 6}, 'at most 5 while on'),
    ({'unheard_of': 1}, 'unheard_of: no such setting; known are count, ids, name, on, ratio'),
])
def test_wrong_values_are_refused_with_the_reason(changes, said):
    with pytest.raises(SettingsError, match=said):
        Example().changed(**changes)


def test_values_are_kept_in_the_declared_type():
    changed = Example().changed(ratio=1, ids=[1, 2])
    assert isinstance(changed.ratio, float)
    assert changed.ids == (1, 2)
    assert Example() == replace(changed, ratio=0.5, ids=())


def test_settings_cannot_be_changed_in_place():
    with pytest.raises(FrozenInstanceError):
        Example().count = 4


@pytest.mark.parametrize('stage', STAGES.values(), ids=STAGES)
def test_every_setting_says_what_it_means_and_what_it_may_be(stage):
    for declared in stage.declared():
        assert declared.doc[0].isupper() or declared.doc[0] == "'"
        assert declared.checked(declared.default) == declared.default
        if declared.kind in (int, float):
            assert declared.low is not None
            assert declared.high is not None, f'{declared.name}: a slider needs both ends'
