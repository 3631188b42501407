"""Models by name, from the entry points of the group `recmesh.models`."""

from importlib.metadata import entry_points

from recmesh_worker.models.base import Model

GROUP = "recmesh.models"


def model_names() -> tuple[str, ...]:
    """The names of the installed models, sorted."""
    return tuple(sorted(point.name for point in entry_points(group=GROUP)))


def create_model(name: str) -> Model:
    """A new model of this name, not fitted.

    Raises:
        LookupError: no installed package has a model of this name.
    """
    points = entry_points(group=GROUP, name=name)
    if not points:
        msg = f"no model {name!r}; installed: {', '.join(model_names()) or 'none'}"
        raise LookupError(msg)
    model: Model = next(iter(points)).load()()
    return model
