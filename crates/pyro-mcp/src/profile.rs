//! Which tools a server lists. Each tool costs a model attention, so a server can offer fewer.

/// Which tools a server lists. One that is not listed is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// One-shot commands.
    Run,
    /// What a coding agent needs.
    Core,
    /// All of them.
    #[default]
    Full,
}

const RUN: &[&str] = &["vm_run", "vm_list_environments"];

const CORE: &[&str] = &[
    "vm_run",
    "vm_list_environments",
    "task_create",
    "task_exec",
    "task_wait",
    "task_output",
    "task_logs",
    "task_status",
    "task_cancel",
    "task_list",
    "task_delete",
    "task_file_list",
    "task_file_read",
    "task_file_write",
    "task_file_edit",
    "task_file_grep",
    "task_diff",
];

impl Profile {
    /// Whether it has this tool.
    #[must_use]
    pub fn has(self, tool: &str) -> bool {
        match self {
            Self::Run => RUN.contains(&tool),
            Self::Core => CORE.contains(&tool),
            Self::Full => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::tools;

    #[test]
    fn every_tool_of_a_profile_exists() {
        let all: Vec<String> = tools(Profile::Full).iter().map(|tool| tool.name.to_string()).collect();
        for name in RUN.iter().chain(CORE) {
            assert!(all.iter().any(|tool| tool == name), "{name}");
        }
        assert_eq!(tools(Profile::Run).len(), RUN.len());
        assert_eq!(tools(Profile::Core).len(), CORE.len());
        assert!(CORE.len() <= 18, "a model has to read all of them");
    }
}
