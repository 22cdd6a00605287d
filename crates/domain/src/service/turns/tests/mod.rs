mod context;
mod output;
