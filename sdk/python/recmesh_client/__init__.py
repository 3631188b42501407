"""Python SDK of Recmesh: `AsyncClient` and `Client`, their errors, and what goes in and comes out."""

from recmesh_client.async_client import AsyncClient
from recmesh_client.blocking import Pages
from recmesh_client.client import Client
from recmesh_client.credentials import ApiKey, Credentials, Password, Token
from recmesh_client.data.catalog import Catalog, Visibility
from recmesh_client.data.index import IndexComparison, IndexFinding
from recmesh_client.data.interaction import Interaction, InteractionBatch, InteractionType, Purge
from recmesh_client.data.item import FoundItem, Item, ItemChanges
from recmesh_client.data.model import Model, ModelState
from recmesh_client.data.query import Diversity, Order, Query, QueryFields
from recmesh_client.data.queue import DeadLetter, Queue, QueueStats
from recmesh_client.data.recommendation import (
    Batch,
    Fallback,
    Job,
    JobError,
    Reason,
    ReasonType,
    Recommendation,
    Result,
    State,
    Timings,
)
from recmesh_client.data.rows import ImportProgress, ImportReport, RowError
from recmesh_client.data.serving_config import Rule, RuleAction, ServingConfig, Variant
from recmesh_client.data.user import (
    ApiKeyInfo,
    PublicKey,
    Role,
    RoleGrant,
    TokenPair,
    User,
    UserDocument,
)
from recmesh_client.errors import (
    Aborted,
    AlreadyExists,
    Cancelled,
    DeadlineExceeded,
    FailedPrecondition,
    FieldViolation,
    InternalError,
    InvalidArgument,
    JobFailed,
    NotFound,
    PermissionDenied,
    RecmeshError,
    ResourceExhausted,
    SignInFailed,
    TooManyCalls,
    TooManyJobs,
    Unauthenticated,
    Unavailable,
    Unimplemented,
)
from recmesh_client.pages import AsyncPages
from recmesh_client.reasons import ErrorReason
from recmesh_client.settings import Retry, Targets, Tls

__all__ = [
    "Aborted",
    "AlreadyExists",
    "ApiKey",
    "ApiKeyInfo",
    "AsyncClient",
    "AsyncPages",
    "Batch",
    "Cancelled",
    "Catalog",
    "Client",
    "Credentials",
    "DeadLetter",
    "DeadlineExceeded",
    "Diversity",
    "ErrorReason",
    "FailedPrecondition",
    "Fallback",
    "FieldViolation",
    "FoundItem",
    "ImportProgress",
    "ImportReport",
    "IndexComparison",
    "IndexFinding",
    "Interaction",
    "InteractionBatch",
    "InteractionType",
    "InternalError",
    "InvalidArgument",
    "Item",
    "ItemChanges",
    "Job",
    "JobError",
    "JobFailed",
    "Model",
    "ModelState",
    "NotFound",
    "Order",
    "Pages",
    "Password",
    "PermissionDenied",
    "PublicKey",
    "Purge",
    "Query",
    "QueryFields",
    "Queue",
    "QueueStats",
    "Reason",
    "ReasonType",
    "RecmeshError",
    "Recommendation",
    "ResourceExhausted",
    "Result",
    "Retry",
    "Role",
    "RoleGrant",
    "RowError",
    "Rule",
    "RuleAction",
    "ServingConfig",
    "SignInFailed",
    "State",
    "Targets",
    "Timings",
    "Tls",
    "Token",
    "TokenPair",
    "TooManyCalls",
    "TooManyJobs",
    "Unauthenticated",
    "Unavailable",
    "Unimplemented",
    "User",
    "UserDocument",
    "Variant",
    "Visibility",
]
