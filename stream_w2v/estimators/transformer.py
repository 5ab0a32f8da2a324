"""Word2VecTransformer: text features that learn online, a step of river's pipelines."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import fields
from typing import Any, get_type_hints

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from river import base

from stream_w2v.config import Config, Tokenizer
from stream_w2v.memory import memory_now
from stream_w2v.model import Record, Word2Vec
from stream_w2v.pooling import Component, check_pooling


class Learnt:
    """All that a transformer has learnt, kept where river does not add up its memory.

    River sums the sizes of whatever it can reach from an estimator, and would take all addresses
    that a model reserves for memory in use. It looks into no function, so the parts are behind one,
    and what counts is the size that this object gives for itself.
    """

    __slots__ = ("_parts",)
    _parts: Callable[[], tuple[Word2Vec, Component]]

    def __init__(self, model: Word2Vec, component: Component) -> None:
        parts = model, component
        self._parts = lambda: parts

    @property
    def model(self) -> Word2Vec:
        """The word vectors."""
        return self._parts()[0]

    @property
    def component(self) -> Component:
        """The first principal component of the texts, if that is followed."""
        return self._parts()[1]

    def __sizeof__(self) -> int:
        return object.__sizeof__(self) + memory_now(self.model) + self.component.direction.nbytes

    def __deepcopy__(self, memo: dict[int, Any]) -> Learnt:
        model, component = self._parts()
        return Learnt(model.copy(), component.copy())

    def __reduce__(self) -> tuple[Any, ...]:
        model, component = self._parts()
        text = model.config.text if callable(model.config.text) else None
        return _learnt_from_bytes, (model.to_bytes({"component": component.to_dict()}), text)


def _learnt_from_bytes(data: bytes, text: Tokenizer | None) -> Learnt:
    model = Word2Vec.from_bytes(data, text)
    return Learnt(model, Component.from_dict(model.metadata["component"]))


class Word2VecTransformer(base.MiniBatchTransformer):
    """Turns a text into numbers: the vectors of its words, learnt from the texts before, pooled.

    Learning a text trains word2vec on it, in one pass and in bounded memory; transforming one
    changes nothing. Texts are learnt one by one or in batches, with the same result bit for bit. A
    word has a vector from its ``min_count``-th occurrence on. Words without one are passed over,
    and a text in which no word has one, or that is not there, becomes zeros; it is never an error.

    The numbers are called ``w2v_0``, ``w2v_1`` and so on, after the field ``on`` if there is one:
    ``body_w2v_0``. Two transformers of one field in a union need a ``prefix`` each.

    Parameters
    ----------
    on
        The field that holds the text. Without it, what is learnt is the text itself, or of a dict
        all texts that are in it, in the order of their names, as one. A text is a str, UTF-8 bytes,
        or a list of words that were cut already; None and NaN are no text.
    pooling
        ``mean`` of the words' vectors; ``sif``, the mean in which a word counts the less the more
        frequent it has been so far (Arora, Liang & Ma, 2017); or ``max``, the largest of each
        number.
    remove_component
        Take out of each result what all texts have in common: its part along their first principal
        component, which is followed while texts are learnt (Weng et al., 2003). Batches are then
        learnt text by text.
    prefix
        What the names of the numbers begin with, instead of ``w2v_`` or ``body_w2v_``.
    options
        Every option of :class:`stream_w2v.Config`, by its name, which says what it means:
        ``vector_size=100``, ``window=5``, ``min_count=5``, ``half_life=None``, ``text="words"``,
        ``seed=1`` and so on.

    Attributes
    ----------
    model
        The :class:`stream_w2v.Word2Vec` inside: ask its ``snapshot()`` for words that are similar.

    Raises
    ------
    ConfigError
        If an option is unknown or out of its range.

    Examples
    --------
    >>> from river import compose, linear_model
    >>> from stream_w2v.estimators import Word2VecTransformer
    >>> words = Word2VecTransformer(on="text", vector_size=4, min_count=1)
    >>> words.learn_one({"text": "so much spam"})
    >>> [round(value, 2) for value in words.transform_one({"text": "spam spam"}).values()]
    [0.05, -0.07, -0.03, -0.12]
    >>> words.transform_one({"text": "unheard"})
    {'text_w2v_0': 0.0, 'text_w2v_1': 0.0, 'text_w2v_2': 0.0, 'text_w2v_3': 0.0}
    >>> pipeline = words | linear_model.LogisticRegression()

    References
    ----------
    Arora, Liang & Ma, A simple but tough-to-beat baseline for sentence embeddings, 2017. Weng,
    Zhang & Hwang, Candid covariance-free incremental principal component analysis, 2003.
    """

    def __init__(
        self,
        on: Hashable | None = None,
        pooling: str = "mean",
        remove_component: bool = False,
        prefix: str | None = None,
        **options: Any,
    ) -> None:
        config = Config.from_options(options)
        self.on = on
        self.pooling = pooling
        self.remove_component = remove_component
        self.prefix = prefix
        # As attributes of their names river finds them: see the signature below.
        for field in fields(Config):
            setattr(self, field.name, getattr(config, field.name))
        self._learnt = Learnt(Word2Vec(config), Component(config.vector_size))
        if prefix is None:
            prefix = "w2v_" if on is None else f"{on}_w2v_"
        self._names = [f"{prefix}{number}" for number in range(config.vector_size)]

    @property
    def model(self) -> Word2Vec:
        """The model inside."""
        return self._learnt.model

    @property
    def pooling(self) -> str:
        """How the vectors of a text's words become one."""
        return self._pooling

    @pooling.setter
    def pooling(self, pooling: str) -> None:
        # river's mutate comes through here, too.
        check_pooling(pooling)
        self._pooling = pooling

    @property
    def _removed(self) -> NDArray[np.float64] | None:
        return self._learnt.component.direction if self.remove_component else None

    # Learning.

    def learn_one(self, x: Any) -> None:
        """Learn one text: a dict, a str, UTF-8 bytes, or a list of words.

        Raises
        ------
        TypeError
            If the field holds something else.
        """
        self._learn(_text_of(x, self.on))

    def learn_many(self, X: pd.DataFrame | pd.Series) -> None:
        """Learn the rows of a frame, or a series of texts: as :meth:`learn_one` does for each.

        Raises
        ------
        TypeError
            If the field holds something else; the rows before are learnt.
        """
        if self.remove_component:
            for text in _texts_of(X, self.on):
                self._learn(text)
        else:
            self.model.learn_many(_texts_of(X, self.on))

    def _learn(self, text: Record) -> None:
        model, component = self._learnt.model, self._learnt.component
        try:
            model.learn_one(text)
        finally:
            # Ctrl-C takes effect when the text is learnt, so it is followed all the same.
            if self.remove_component:
                component.follow(model.pool_one(text, self.pooling))

    # Transforming.

    def transform_one(self, x: Any) -> dict[Hashable, float]:
        """Return the numbers of one text, as a dict of its own.

        Raises
        ------
        TypeError
            If the field holds no text.
        """
        vector = self.model.pool_one(_text_of(x, self.on), self.pooling, removed=self._removed)
        return dict(zip(self._names, vector.tolist(), strict=True))

    def transform_many(self, X: pd.DataFrame | pd.Series) -> pd.DataFrame:
        """Return the numbers of the rows of a frame, or of a series of texts.

        Each row is what :meth:`transform_one` gives for it: float64, under the index of ``X``.

        Raises
        ------
        TypeError
            If the field holds something that is no text.
        """
        texts = _texts_of(X, self.on)
        vectors = self.model.pool_many(texts, self.pooling, removed=self._removed)
        return pd.DataFrame(vectors, index=X.index, columns=self._names)

    # What river asks.

    @property
    def _mutable_attributes(self) -> set[str]:
        # What a model is made with stays as it is.
        return {"pooling", "remove_component"}

    def _more_tags(self) -> set[str]:
        return {base.tags.TEXT_INPUT} if self.on is None else set()

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        small = {"vector_size": 8, "min_count": 2}
        yield small
        yield {**small, "on": "text", "pooling": "sif", "remove_component": True}
        yield {**small, "pooling": "max"}


def _with_options(own: inspect.Signature) -> inspect.Signature:
    """Return a signature that names every option of ``Config`` where it had ``**options``."""
    types = get_type_hints(Config)
    options = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=field.default,
            annotation=types[field.name],
        )
        for field in fields(Config)
    ]
    *others, _ = own.parameters.values()
    return own.replace(parameters=[*others, *options])


# river clones, shows and compares an estimator by the parameters that it finds here.
Word2VecTransformer.__init__.__signature__ = _with_options(  # type: ignore[attr-defined]
    inspect.signature(Word2VecTransformer.__init__, eval_str=True)
)


def _text_of(x: Any, on: Hashable | None) -> Record:
    """Return the text in what river hands on."""
    if on is not None:
        if not isinstance(x, Mapping):
            msg = f"the text is in the field {on!r} of a dict, but this is {type(x).__name__}"
            raise TypeError(msg)
        return _checked(x.get(on))
    return _joined(x) if isinstance(x, Mapping) else _checked(x)


def _texts_of(X: pd.DataFrame | pd.Series, on: Hashable | None) -> Iterator[Record]:
    """Yield the text of each row: of a series its value, whatever its name."""
    if isinstance(X, pd.Series):
        return map(_checked, X.tolist())
    if not isinstance(X, pd.DataFrame):
        msg = f"a batch is a DataFrame or a Series of pandas, not {type(X).__name__}"
        raise TypeError(msg)
    if on is None:
        return map(_joined, X.to_dict(orient="records"))
    if on not in X.columns:
        return map(_checked, [None] * len(X))
    if not isinstance(X[on], pd.Series):
        msg = f"the frame has more than one column {on!r}"
        raise TypeError(msg)
    return map(_checked, X[on].tolist())


def _checked(value: Any) -> Record:
    """Return a text as it is, and none as one of no words."""
    if isinstance(value, str | bytes | bytearray | memoryview | list | tuple):
        return value
    if isinstance(value, np.ndarray):
        return list(value)
    # None, NaN, NaT and pandas' own NA.
    if pd.api.types.is_scalar(value) and pd.isna(value):
        return ""
    msg = f"a text is a str, bytes or a list of words, not {value!r}"
    raise TypeError(msg)


def _joined(x: Mapping[Any, Any]) -> Record:
    """Return all texts of a dict as one, in the order of their names; a dict itself has none."""
    values = [x[name] for name in sorted(x, key=str)]
    encoded = bytes | bytearray | memoryview
    values = [bytes(v).decode("utf-8", "replace") if isinstance(v, encoded) else v for v in values]
    texts = [value for value in values if isinstance(value, str)]
    words = [value for value in values if isinstance(value, list | tuple | np.ndarray)]
    if texts and words:
        msg = "one field is a text and another a list of words: name one with on=..."
        raise TypeError(msg)
    return [word for some in words for word in some] if words else "\n".join(texts)
