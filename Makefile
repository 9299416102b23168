# Shortcuts; every target is one command you can type yourself.
.PHONY: install app test lint format cards

install:
	pip install -r requirements-dev.txt

app:
	python app.py

test:
	pytest

lint:
	ruff check . && ruff format --check .

format:
	ruff check --fix . && ruff format .

cards:
	python -m training.card
