"""`speechllm export`: a checkpoint becomes a model folder (files/model_folder.py). exported_model.py fills it, model_card.py writes its README."""
