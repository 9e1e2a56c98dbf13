//! The product's stories, one a file.

mod answer;
mod bad_modules;
mod cluster_answers;
mod contested_host;
mod control_plane_away;
mod dedicated;
mod fences;
mod hostile_guests;
mod install;
mod many_functions;
mod new_version;
mod node_drained;
mod private_registry;
mod upgrade;

use crate::story::Story;

/// All stories, in the order in which they are told.
pub const STORIES: &[Story] = &[
    cluster_answers::STORY,
    install::STORY,
    answer::STORY,
    new_version::STORY,
    bad_modules::STORY,
    hostile_guests::STORY,
    dedicated::STORY,
    many_functions::STORY,
    control_plane_away::STORY,
    node_drained::STORY,
    private_registry::STORY,
    upgrade::STORY,
    fences::STORY,
    contested_host::STORY,
];
