//! Locks and atomics: the standard library's, or with the feature `models` those of a scheduler that
//! tries orders of events. No server has that feature.

#[cfg(feature = "models")]
pub(crate) use shuttle::sync::atomic::AtomicBool;
#[cfg(feature = "models")]
pub(crate) use shuttle::sync::{Condvar, Mutex, MutexGuard, RwLock};
#[cfg(not(feature = "models"))]
pub(crate) use std::sync::atomic::AtomicBool;
#[cfg(not(feature = "models"))]
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard, RwLock};
