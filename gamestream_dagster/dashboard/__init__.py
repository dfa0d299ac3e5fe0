"""The dashboard: Streamlit pages over Postgres. `serve.py` is what `streamlit run` is given."""
