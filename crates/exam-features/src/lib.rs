//! Nothing but features.
//!
//! `exam-analyse` is built apart from the rest, because its SQL engine takes longer than all of it.
//! Cargo chooses features for what is built together, so what both depend on would be built twice,
//! and the engine's build would take a quarter longer. Programs of both sides depend on this crate,
//! which names those dependencies with the features of either; its manifest is the whole of it.
