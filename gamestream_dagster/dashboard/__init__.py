"""The dashboard: Streamlit pages over Postgres. `app.py` is what `streamlit run` is given."""
