//! Makes large conversations, the way clients do: in calls of as many items as one may have.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, bail};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::http::{Client, request};
use crate::tools::say;

/// Where conversations are.
pub(super) const CONVERSATIONS: &str = "/openai/v1/conversations";
/// Most items of one call.
const ITEMS_PER_CALL: usize = 20;
/// Conversations that are made at the same time.
const AT_ONCE: usize = 16;
/// Characters of an item: from short questions to answers of several sentences.
const CHARS: &[usize] = &[60, 200, 400, 800];

/// Makes so many conversations of each size, and gives their ids by their sizes.
pub(crate) async fn plant(
    address: &str,
    key: &str,
    wanted: &[(usize, usize)],
) -> anyhow::Result<BTreeMap<usize, Vec<String>>> {
    let mut jobs: Vec<usize> = wanted
        .iter()
        .flat_map(|(size, count)| vec![*size; *count])
        .collect();
    // The largest are begun first, since each takes its time.
    jobs.sort_unstable();
    let items: usize = jobs.iter().sum();
    say(&format!(
        "planting {} conversations with {items} items\n",
        jobs.len()
    ));
    let since = Instant::now();
    let jobs = Arc::new(Mutex::new(jobs));
    let mut planting = JoinSet::new();
    for _ in 0..AT_ONCE {
        let planter = Planter {
            line: Client::connect(address).await?,
            address: address.to_owned(),
            key: key.to_owned(),
        };
        planting.spawn(planter.work(Arc::clone(&jobs)));
    }
    let mut planted: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    while let Some(done) = planting.join_next().await {
        for (size, id) in done.context("a planter broke off")?? {
            planted.entry(size).or_default().push(id);
        }
    }
    let took = since.elapsed().as_secs_f64();
    say(&format!("planted in {took:.0} s\n"));
    Ok(planted)
}

struct Planter {
    line: Client,
    address: String,
    key: String,
}

impl Planter {
    async fn work(mut self, jobs: Arc<Mutex<Vec<usize>>>) -> anyhow::Result<Vec<(usize, String)>> {
        let mut made = Vec::new();
        let next = || jobs.lock().unwrap_or_else(PoisonError::into_inner).pop();
        while let Some(size) = next() {
            made.push((size, self.conversation(size).await?));
        }
        Ok(made)
    }

    async fn conversation(&mut self, size: usize) -> anyhow::Result<String> {
        let first = size.min(ITEMS_PER_CALL);
        let create = self.request(CONVERSATIONS, first);
        let id = id(self.line.call(&create).await?)?;
        let path = format!("{CONVERSATIONS}/{id}/items");
        let (whole, rest) = (size - first, (size - first) % ITEMS_PER_CALL);
        let append = self.request(&path, ITEMS_PER_CALL);
        for _ in 0..whole / ITEMS_PER_CALL {
            self.line.call(&append).await?;
        }
        if rest > 0 {
            let append = self.request(&path, rest);
            self.line.call(&append).await?;
        }
        Ok(id)
    }

    fn request(&self, path: &str, count: usize) -> Vec<u8> {
        let body = json!({ "items": items(count) }).to_string();
        request(&self.address, &self.key, "POST", path, &body)
    }
}

fn items(count: usize) -> Vec<Value> {
    let lengths = CHARS.iter().cycle().take(count);
    lengths
        .map(|chars| json!({"role": "user", "content": "word ".repeat(chars / 5)}))
        .collect()
}

/// The id of the conversation that an answer shows.
pub(super) fn id(answer: &[u8]) -> anyhow::Result<String> {
    let answer: Value = serde_json::from_slice(answer).context("an answer is no JSON")?;
    match answer.get("id").and_then(Value::as_str) {
        Some(id) => Ok(id.to_owned()),
        None => bail!("a conversation has no id: {answer}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_has_items_of_all_lengths() {
        let items = items(ITEMS_PER_CALL);
        let length = |item: &Value| item["content"].as_str().expect("a text").len();
        let mean = items.iter().map(length).sum::<usize>() / items.len();
        assert_eq!((items.len(), mean), (20, 365));
    }
}
