"""Every page on which staff do something says whether that can be undone, and how."""

from __future__ import annotations

from checkout.office import urls
from checkout.office.views.staff_actions import StaffActionView


def test_every_action_of_the_office_says_whether_it_can_be_undone() -> None:
    views = {pattern.name: getattr(pattern.callback, "view_class", None) for pattern in urls.urlpatterns}
    actions = {name: view for name, view in views.items() if view is not None and issubclass(view, StaffActionView)}
    assert len(actions) > 30
    silent = sorted(str(name) for name, view in actions.items() if not str(view.way_back))
    assert not silent, f"Say with `way_back` whether it can be undone: {silent}"
