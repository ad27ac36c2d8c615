"""A recipe: what a training is, as data. Sizes, shares of the data, objective, rates, phases, read from TOML."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

from ..network.model import ModelConfig
from .corruption import Corruption
from .objective import REGULARISERS
from .terms import MS_SSIM_SIDE, TERMS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

RECIPES = Path(__file__).parent / "recipes"
DEFAULT = "small"
PLATEAU, DECAY = "plateau", "decay"
CROP_MULTIPLE = 64  # pixels of a hyper-latent
T = TypeVar("T")


@dataclass(frozen=True)
class DataShares:
    """What the pictures of a training are."""

    drawings: float = 0.02

    def __post_init__(self) -> None:
        if not 0 <= self.drawings <= 0.5:
            raise ValueError(f"data.drawings is a share between 0 and 0.5, not {self.drawings}")


@dataclass(frozen=True)
class Rates:
    """The optimisers' settings."""

    muon: float = 0.012
    adam: float = 1e-3
    weight_decay: float = 0.02
    warm_up: int = 200
    average: float = 0.999


@dataclass(frozen=True)
class Phase:
    """One phase of a training."""

    rate: float = 0.25  # factor on the learning rates
    batch: int = 8  # crops a step and process
    parts: int = 1  # of a batch, differentiated one after the other
    crop: int = 256
    dither: float = 0.08
    power: float = 1.2  # of a decay
    decoder_only: bool = False  # train synthesis and means alone, on the symbols that the rest decides

    def __post_init__(self) -> None:
        if self.batch < 1 or self.parts < 1 or self.batch % self.parts:
            raise ValueError(f"a batch of {self.batch} cannot be taken in {self.parts} equal parts")
        if self.crop < CROP_MULTIPLE or self.crop % CROP_MULTIPLE:
            raise ValueError(f"a crop's side must be a multiple of {CROP_MULTIPLE}, not {self.crop}")
        if not 0 < self.dither <= 0.5:
            raise ValueError(f"dither must be above 0 and at most 0.5, not {self.dither}")


@dataclass(frozen=True)
class Tune:
    """A further tune of the model: its share of the crops, and what it is trained for."""

    share: float = 0.3
    terms: dict[str, float] = field(default_factory=lambda: {"mse": 1.0})

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise ValueError(f"a tune's share of the crops lies between 0 and 1, not {self.share}")


@dataclass(frozen=True)
class RunSettings:
    """What does not change what is learnt."""

    precision: str = "bf16"
    compile: bool = False
    checkpoint_every: int = 500
    validate_every: int = 2000

    def __post_init__(self) -> None:
        if self.precision not in ("bf16", "no"):
            raise ValueError(f'run.precision is "bf16" or "no", not "{self.precision}"')
        if min(self.checkpoint_every, self.validate_every) < 1:
            raise ValueError("run.checkpoint_every and run.validate_every are numbers of steps, 1 or more")


@dataclass(frozen=True)
class Recipe:
    """What a training is; `recipes/small.toml` says what the entries mean."""

    name: str = DEFAULT
    sizes: ModelConfig = field(default_factory=ModelConfig)
    data: DataShares = field(default_factory=DataShares)
    terms: dict[str, float] = field(default_factory=lambda: {"mse": 0.25, "visual": 0.75})  # of the first tune
    tunes: dict[str, Tune] = field(default_factory=dict)  # the others, in their order
    regularisers: dict[str, float] = field(default_factory=lambda: {"roughness": 1e-3})
    optimiser: Rates = field(default_factory=Rates)
    plateau: Phase = field(default_factory=Phase)
    decay: Phase = field(default_factory=Phase)
    corruption: Corruption | None = None
    run: RunSettings = field(default_factory=RunSettings)

    def __post_init__(self) -> None:
        for number, terms in enumerate(self.objectives):
            where = "terms" if number == 0 else f"tunes.{list(self.tunes)[number - 1]}.terms"
            _check_weights(where, terms, TERMS)
            if not any(terms.values()):
                raise ValueError(f"{where} gives no term a weight; without a distortion every picture becomes grey")
            if terms.get("ms_ssim") and min(self.plateau.crop, self.decay.crop) < MS_SSIM_SIDE:
                raise ValueError(f"the term ms_ssim needs crops of {MS_SSIM_SIDE} pixels or more")
        _check_weights("regularisers", self.regularisers, REGULARISERS)
        if self.sizes.tunes != len(self.objectives):
            raise ValueError(f"sizes.tunes is {self.sizes.tunes}, but the recipe trains for {len(self.objectives)}")
        if sum(tune.share for tune in self.tunes.values()) >= 1:
            raise ValueError("the shares of all tunes but the first add up to 1 or more; leave some for it")

    @property
    def objectives(self) -> list[dict[str, float]]:
        """The weighted terms of every tune."""
        return [self.terms, *(tune.terms for tune in self.tunes.values())]

    @property
    def shares(self) -> list[float]:
        """Every tune's share of the crops."""
        others = [tune.share for tune in self.tunes.values()]
        return [1 - sum(others), *others]

    def phase(self, name: str) -> Phase:
        """A phase by its name."""
        return self.decay if name == DECAY else self.plateau

    @property
    def largest_crop(self) -> int:
        """The side of the largest crop of any phase."""
        return max(self.plateau.crop, self.decay.crop)

    def to_dict(self) -> dict[str, Any]:
        """The recipe as plain values, in the layout of its file."""
        values = asdict(self)
        values["phases"] = {PLATEAU: values.pop("plateau"), DECAY: values.pop("decay")}
        return {key: value for key, value in values.items() if value is not None}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Recipe:
        """The recipe of values such as `to_dict` gives.

        Raises:
            ValueError: an unknown entry, or a value that cannot be.
        """
        values = dict(values)
        phases = values.pop("phases", {})
        known = {f.name for f in fields(cls)} - {PLATEAU, DECAY}
        _refuse_unknown("the recipe", set(values) - known, known | {"phases"})
        _refuse_unknown("phases", set(phases) - {PLATEAU, DECAY}, {PLATEAU, DECAY})
        made: dict[str, Any] = {key: values[key] for key in ("name", "terms", "regularisers") if key in values}
        for key, kind in (("data", DataShares), ("optimiser", Rates), ("corruption", Corruption), ("run", RunSettings)):
            if key in values:
                made[key] = _build(kind, key, values[key])
        for key in phases:
            made[key] = _build(Phase, f"phases.{key}", phases[key])
        if "tunes" in values:
            made["tunes"] = {name: _build(Tune, f"tunes.{name}", tune) for name, tune in values["tunes"].items()}
        if "sizes" in values:
            made["sizes"] = ModelConfig.from_dict(values["sizes"])
        return cls(**made)


def _check_weights(what: str, weights: dict[str, float], known: Iterable[str]) -> None:
    _refuse_unknown(what, set(weights) - set(known), set(known))
    for name, weight in weights.items():
        if not isinstance(weight, (int, float)) or weight < 0:
            raise ValueError(f"{what}.{name} is a weight of 0 or more, not {weight!r}")


def _refuse_unknown(where: str, unknown: set[str], known: set[str]) -> None:
    if unknown:
        raise ValueError(f"{where} has no {', '.join(sorted(unknown))}; there are {', '.join(sorted(known))}")


def _build(kind: type[T], where: str, values: Any) -> T:
    """A dataclass of a table, its values of the kinds that the defaults have."""
    assert is_dataclass(kind)
    if not isinstance(values, dict):
        raise ValueError(f"{where} is a table, not {values!r}")
    defaults = {f.name: f.default if f.default_factory is MISSING else f.default_factory() for f in fields(kind)}
    _refuse_unknown(where, set(values) - set(defaults), set(defaults))
    made = {}
    for key, value in values.items():
        wanted = type(defaults[key])
        if wanted is float and type(value) is int:
            value = float(value)
        if isinstance(value, list):
            value = tuple(value)
        elif defaults[key] is not None and type(value) is not wanted:
            raise ValueError(f"{where}.{key} is of type {wanted.__name__}, not {value!r}")
        made[key] = value
    return kind(**made)  # type: ignore[return-value]


def load(name: str | Path = DEFAULT, overrides: Iterable[str] = ()) -> Recipe:
    """A recipe that comes with the package, by name, or that of a file.

    Args:
        overrides: `table.entry=VALUE` each, VALUE as in TOML (quotes around a word may be left out).

    Raises:
        FileNotFoundError: no such recipe.
        ValueError: it, or an override, is not as it must be.
    """
    values = _read(name)
    for text in overrides:
        _override(values, text)
    try:
        return Recipe.from_dict(values)
    except TypeError as error:
        raise ValueError(f"the recipe {name} holds a value of the wrong type: {error}") from None


def _read(name: str | Path) -> dict[str, Any]:
    path = RECIPES / f"{name}.toml"
    if not path.is_file():
        path = Path(name)
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in RECIPES.glob("*.toml")))
        raise FileNotFoundError(f"no recipe named {name} (there are {known}), and no such file")
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a recipe: {error}") from None
    base = values.pop("extends", None)
    if base is not None:
        if base not in {p.stem for p in RECIPES.glob("*.toml")} or path == RECIPES / f"{base}.toml":
            raise ValueError(f"{path} extends {base!r}, which is no recipe that comes with the package")
        values = _merged(_read(base), values)
    return {"name": path.stem, **{k: v for k, v in values.items() if k != "name"}}


def _merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict)
        result[key] = _merged(base[key], value) if both else value
    return result


def _override(values: dict[str, Any], text: str) -> None:
    """Change one entry of a recipe's values."""
    path, equals, value = text.partition("=")
    *tables, entry = path.strip().split(".")
    if not equals or not tables or not all((*tables, entry)):
        raise ValueError(f"{text!r} does not change a recipe; write table.entry=VALUE, such as phases.decay.rate=0.5")
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value.strip()
    place = values
    for table in tables:
        place = place.setdefault(table, {})
        if not isinstance(place, dict):
            raise ValueError(f"{text!r}: {table} is no table of the recipe")
    place[entry] = parsed
