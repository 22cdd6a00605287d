//! One whole audit.

use std::collections::BTreeSet;
use std::thread::park_timeout;
use std::time::Duration;

use super::{AuditError, FINDINGS_MAX, Finding, Report, Subject, keys, sample, search};

/// How long is waited before something that was found beside a running store is looked at again: together
/// much longer than a key needs from being taken to being referred to, or from its row's end to its own.
const PAUSES: [Duration; 7] = [
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(400),
    Duration::from_millis(800),
    Duration::from_millis(1_600),
    Duration::from_millis(3_200),
];

/// Looks at everything. Waits for disks.
pub(crate) fn look(subject: &Subject<'_>) -> Result<Report, AuditError> {
    let mut report = Report::default();
    let mut found = keys::look(subject, &mut report)?;
    for pause in PAUSES.iter().take_while(|_| subject.is_live) {
        if found.is_empty() {
            break;
        }
        if !(subject.going_on)() {
            return Err(AuditError::Stopped);
        }
        park_timeout(*pause);
        let again = keys::look(subject, &mut report)?;
        found = found.intersection(&again).cloned().collect();
    }
    let sample = sample::take(subject, &mut report)?;
    found.extend(sample.unreadable.iter().cloned());
    let plaintext: BTreeSet<Finding> = search::search(subject, &sample, &mut report)?;
    found.extend(plaintext.into_iter().take(FINDINGS_MAX));
    report.findings = found.into_iter().collect();
    Ok(report)
}
