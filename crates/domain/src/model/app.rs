//! Projects and apps.

use crate::clock::Timestamp;
use crate::ids::AppId;

/// Numbers a project. Stores count them up from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProjectId(pub i64);

/// The tenant: nothing crosses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    /// Its number.
    pub id: ProjectId,
    /// Its name, unique in the store.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
}

/// An assistant's definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct App {
    /// Its id.
    pub id: AppId,
    /// The project that it belongs to.
    pub project: ProjectId,
    /// Its name, unique in the project.
    pub name: String,
    /// What kind of app it is.
    pub mode: AppMode,
    /// The model that answers; none is the server's default.
    pub model: Option<String>,
    /// What the model is told first. Content.
    pub instructions: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// The modes that Dify knows; the other dialects serve all of them alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppMode {
    /// A chatflow.
    AdvancedChat,
    /// A plain chat.
    Chat,
    /// A chat whose model uses tools.
    AgentChat,
    /// One prompt, one answer, no conversation.
    Completion,
    /// A workflow without conversation.
    Workflow,
}

impl AppMode {
    /// All modes.
    pub const ALL: [Self; 5] = [
        Self::AdvancedChat,
        Self::Chat,
        Self::AgentChat,
        Self::Completion,
        Self::Workflow,
    ];

    /// The name that Dify and the command line use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AdvancedChat => "advanced-chat",
            Self::Chat => "chat",
            Self::AgentChat => "agent-chat",
            Self::Completion => "completion",
            Self::Workflow => "workflow",
        }
    }

    /// Reads [`AppMode::name`].
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.name() == name)
    }

    /// Whether apps of this mode hold conversations.
    pub const fn has_conversations(self) -> bool {
        match self {
            Self::AdvancedChat | Self::Chat | Self::AgentChat => true,
            Self::Completion | Self::Workflow => false,
        }
    }
}
