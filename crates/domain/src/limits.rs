//! Every bound that is not a setting, in one place.

/// Most pairs in a conversation's metadata (OpenAI: "16 key-value pairs"; Coze: the same).
pub const METADATA_PAIRS_MAX: usize = 16;
/// Longest key of a pair, in characters.
pub const METADATA_KEY_CHARS_MAX: usize = 64;
/// Longest value of a pair, in characters.
pub const METADATA_VALUE_CHARS_MAX: usize = 512;
/// Longest title, in characters. Dify keeps 255, Coze takes 100, OpenHands 200.
pub const TITLE_CHARS_MAX: usize = 255;
/// Longest user, in characters.
pub const USER_CHARS_MAX: usize = 512;
/// Longest item type, in characters.
pub const ITEM_TYPE_CHARS_MAX: usize = 64;
/// Longest item id that a client may choose, in characters.
pub const ITEM_ALIAS_CHARS_MAX: usize = 128;
/// Most rows on one page, whatever a dialect allows.
pub const PAGE_ROWS_MAX: u32 = 1_000;
/// Bytes of content after which a page ends, though it may have more rows: one row at least is on it.
pub const PAGE_BYTES_MAX: usize = 24 << 20;
/// Longest name of a project or an app, in characters.
pub const NAME_CHARS_MAX: usize = 64;
/// Random bytes in a key: 192 bits.
pub const KEY_BYTES: usize = 24;
/// How long a deleted conversation is remembered, for cursors that still name it.
pub const TOMBSTONE_HOURS: u64 = 24;
/// How long a snapshot of the keyring may be kept: what was erased is unreadable everywhere after that.
pub const KEYRING_SNAPSHOT_HOURS: u64 = 24;
/// Items that a delete purges in its own transaction; more are swept afterwards, in chunks.
pub const PURGE_INLINE_ITEMS_MAX: u64 = 64;
/// Bytes of content that a delete purges in its own transaction; where there are more, all is swept.
pub const PURGE_INLINE_BYTES_MAX: u64 = 256 << 10;
/// Items that all deletes of one batch together purge in their transaction.
pub const PURGE_BATCH_ITEMS_MAX: u64 = 512;
/// Bytes of content that all deletes of one batch together purge in their transaction.
pub const PURGE_BATCH_BYTES_MAX: u64 = 1 << 20;
/// Longest note of a hold, in characters.
pub const NOTE_CHARS_MAX: usize = 2_000;
/// Longest answer of a model, in bytes of text.
pub const ANSWER_BYTES_MAX: usize = 8 << 20;
/// Most items of a model's answer: messages, thoughts and calls of tools.
pub const ANSWER_ITEMS_MAX: usize = 256;
/// Most items of a conversation that a model is given to read.
pub const CONTEXT_ITEMS_MAX: usize = 10_000;
/// Most turns of a chain of turns that a model is given to read.
pub const CONTEXT_TURNS_MAX: usize = 1_000;
/// Tokens that a model is taken to be able to read and write, where nobody has said.
pub const CONTEXT_TOKENS_DEFAULT: u64 = 128_000;

const _: () = assert!(PAGE_ROWS_MAX < u32::MAX, "a page is read with one row more");
const _: () = assert!(
    PURGE_INLINE_ITEMS_MAX <= PURGE_BATCH_ITEMS_MAX
        && PURGE_INLINE_BYTES_MAX <= PURGE_BATCH_BYTES_MAX,
    "what is purged with one delete alone is purged with its batch"
);
const _: () = assert!(KEY_BYTES * 8 >= 160, "a key has at least 160 random bits");
