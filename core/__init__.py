"""Everything the app knows. Nothing here knows about Streamlit."""
