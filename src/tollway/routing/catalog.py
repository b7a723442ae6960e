"""Which models exist, what they are called, and who serves them. Built once from a configuration, then only looked up.

Every lookup is a dict's: a plan for one model costs the same however many others there are. Must not know calls or
health.
"""

from collections.abc import Iterable, KeysView, Mapping, Sequence
from types import MappingProxyType
from typing import NoReturn

import msgspec

from tollway.domain.call import Preferences, Sort
from tollway.domain.errors import ModelNotFound, ProviderNotFound
from tollway.domain.plan import Candidate
from tollway.routing.nearest import did_you_mean, nearest, shown
from tollway.routing.route import Route, route_of

# OpenRouter's shortcuts, at the end of a name that doesn't exist whole.
SUFFIXES: Mapping[str, Sort] = MappingProxyType({":floor": "price", ":nitro": "throughput"})


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """A public model and who serves it, as GET /models lists it. The two sizes are the largest that any candidate
    has, in tokens."""

    id: str
    context_length: int
    max_output_tokens: int
    aliases: tuple[str, ...]
    candidates: tuple[Candidate, ...]


class Resolution(msgspec.Struct, frozen=True, kw_only=True):
    """What a name in a request stands for. `asked` is `every` route of the model, or the one that a pin left."""

    model: Model
    asked: tuple[Route, ...]
    every: tuple[Route, ...]
    pinned: str | None = None  # the provider
    sort: Sort | None = None  # what the name's suffix asks for
    plain: bool = False  # the name neither pins nor sorts
    # What is least and most of all its routes, where it is plain (see Route): a call that suits these suits them all.
    room: int = 0
    message_tokens: int = 0
    lacks: bool = True


class Catalog:
    """Immutable. `aliases` maps an alias to a model's id; `providers` are ids.

    Raises ValueError when a provider repeats, is unknown, or has a colon in its id (which marks a pin); when a provider
    serves a model twice; or when an alias stands for nothing or is a model's id."""

    def __init__(
        self,
        candidates: Iterable[Candidate],
        aliases: Mapping[str, str],
        providers: Sequence[str],
    ) -> None:
        self._served: dict[str, list[Candidate]] = {}
        for provider in providers:
            if ":" in provider or provider in self._served:
                raise ValueError(f"provider id {provider!r} repeats or has a colon")
            self._served[provider] = []
        self._routes: dict[str, Route] = {}  # by key
        self._upstreams: dict[tuple[str, str], Route] = {}  # by provider and its own name for the model
        by_model: dict[str, list[Route]] = {}
        for candidate in candidates:
            route = route_of(candidate)
            if candidate.provider not in self._served or route.key in self._routes:
                raise ValueError(f"candidate {route.key!r} repeats or has an unknown provider")
            self._routes[route.key] = route
            self._upstreams.setdefault((candidate.provider, candidate.upstream), route)
            self._served[candidate.provider].append(candidate)
            by_model.setdefault(candidate.model, []).append(route)
        names: dict[str, list[str]] = {}
        for alias, model_id in aliases.items():
            if model_id not in by_model or alias in by_model:
                raise ValueError(f"alias {alias!r} stands for no model or is the id of one")
            names.setdefault(model_id, []).append(alias)
        self._names: dict[str, Resolution] = {}  # by id, and by alias
        for model_id, listed in by_model.items():
            routes = tuple(listed)
            model = _model(model_id, routes, names.get(model_id, ()))
            self._names[model_id] = Resolution(
                model=model,
                asked=routes,
                every=routes,
                plain=True,
                room=min(route.room for route in routes),
                message_tokens=max(route.message_tokens for route in routes),
                lacks=any(route.lacks for route in routes),
            )
        self._models = MappingProxyType({model_id: found.model for model_id, found in self._names.items()})
        self._names |= {alias: self._names[model_id] for alias, model_id in aliases.items()}

    @property
    def models(self) -> Mapping[str, Model]:
        """By id, in the order of the candidates."""
        return self._models

    @property
    def providers(self) -> KeysView[str]:
        """Their ids, in the order in which they were given."""
        return self._served.keys()

    @property
    def keys(self) -> KeysView[str]:
        """`Candidate.key` of every candidate."""
        return self._routes.keys()

    def served_by(self, provider: str) -> tuple[Candidate, ...]:
        """What a provider serves, one candidate a model; empty for an unknown one."""
        return tuple(self._served.get(provider, ()))

    def resolve(self, name: str, param: str = "model") -> Resolution:
        """An id, else an alias, else `provider:model`, split at the first colon when what is left of it is a provider;
        what is right of it is an id, an alias, or the provider's own name for a model (the first that has it). A name
        that is none of them may be one with a suffix: `:floor` or `:nitro`.

        Raises ModelNotFound, which names `param`."""
        found = self._names.get(name) or self._pinned(name)
        if found is not None:
            return found
        base = name.rpartition(":")[0]
        sort = SUFFIXES.get(name[len(base) :])
        if sort is not None:
            found = self._names.get(base) or self._pinned(base)
            name = base
        if found is None:
            self._refuse(name, param)
        return msgspec.structs.replace(found, sort=sort, plain=False)

    def require_providers(self, preferences: Preferences) -> None:
        """Raises ProviderNotFound for the first preference that names none: ignoring a misspelling could send a prompt
        to a provider that its sender wanted to keep it from."""
        for field, ids in (
            ("order", preferences.order),
            ("only", preferences.only),
            ("ignore", preferences.ignore),
        ):
            for index, provider in enumerate(ids):
                if provider not in self._served:
                    near = nearest(provider, self._served)
                    raise ProviderNotFound(
                        f"There is no provider {shown(provider)}.{did_you_mean(near)} GET /v1/providers lists them.",
                        param=f"provider.{field}[{index}]",
                        details={"did_you_mean": list(near)},
                    )

    def _pinned(self, name: str) -> Resolution | None:
        provider, colon, rest = name.partition(":")
        if not colon or provider not in self._served:
            return None
        route = None
        if rest in self._names:
            route = self._routes.get(f"{provider}:{self._names[rest].model.id}")
        route = route or self._upstreams.get((provider, rest))
        if route is None:
            return None
        whole = self._names[route.candidate.model]
        return Resolution(model=whole.model, asked=(route,), every=whole.every, pinned=provider)

    def _refuse(self, name: str, param: str) -> NoReturn:
        provider, colon, rest = name.partition(":")
        if colon and provider in self._served:
            what = f"Provider {provider} does not serve {shown(rest)}."
            near = nearest(rest, (candidate.model for candidate in self._served[provider]))
            where = "GET /v1/models lists what each provider serves."
        else:
            what = f"There is no model {shown(name)}."
            near = nearest(name, self._names)
            where = "GET /v1/models lists them."
        raise ModelNotFound(f"{what}{did_you_mean(near)} {where}", param=param, details={"did_you_mean": list(near)})


def _model(id: str, routes: Sequence[Route], aliases: Sequence[str]) -> Model:
    candidates = tuple(route.candidate for route in routes)
    return Model(
        id=id,
        context_length=max(candidate.context_length for candidate in candidates),
        max_output_tokens=max(candidate.max_output_tokens for candidate in candidates),
        aliases=tuple(aliases),
        candidates=candidates,
    )
