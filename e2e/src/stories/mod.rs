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
mod leader_change;
mod many_functions;
mod new_version;
mod node_drained;
mod pods_killed;
mod private_registry;
mod queue_limits;
mod rolled_out;
mod scales;
mod two_gateways;
mod upgrade;
mod zero;

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
    zero::STORY,
    queue_limits::STORY,
    scales::STORY,
    rolled_out::STORY,
    pods_killed::STORY,
    two_gateways::STORY,
    leader_change::STORY,
    many_functions::STORY,
    control_plane_away::STORY,
    node_drained::STORY,
    private_registry::STORY,
    upgrade::STORY,
    fences::STORY,
    contested_host::STORY,
];
