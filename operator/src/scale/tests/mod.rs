mod acting;
mod inputs;
