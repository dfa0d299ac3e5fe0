"""The dashboard: Streamlit pages over Postgres. `streamlit run` starts `serve.py`."""
