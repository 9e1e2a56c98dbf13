//! Brings a real cluster up, installs wasmfn on it, and tells the product's stories there.

pub mod archive;
pub mod bench;
pub mod cache;
pub mod cli;
pub mod client;
pub mod cluster;
pub mod context;
pub mod guest;
pub mod http;
pub mod images;
pub mod install;
pub mod node_image;
pub mod process;
pub mod runner;
pub mod settings;
pub mod stories;
pub mod story;
pub mod tools;
pub mod versions;
pub mod wait;
